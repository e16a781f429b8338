import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { tarMember } from './tar.ts'

/**
 * A volunteer's host that is none: it says what boinc-client 7.20.5 was seen to say, and computes nothing. For what no
 * real client can be made to do, and for as many hosts as no machine has.
 */
export interface FakeVolunteer {
  readonly authenticator: string
  readonly hostId: number
  readonly sequenceNumber: number
  readonly name: string
  /** Names of copies that it holds; absent where it does not say. */
  readonly held?: readonly string[]
  readonly results?: readonly FakeReport[]
  /** Seconds of work it asks for; 0 for none. */
  readonly wantedSeconds?: number
  readonly idleCpus?: number
  readonly cpus?: number
  readonly cpuVendor?: string
  readonly platform?: string
  readonly crossProjectId?: string
  readonly allowsMultipleClients?: boolean
  readonly memoryBytes?: number
  readonly majorVersion?: number
  readonly stickyFiles?: readonly string[]
  /** That it holds; absent where it has none yet. */
  readonly codeSignKey?: string
}

export interface FakeReport {
  readonly name: string
  readonly state?: number
  readonly exitStatus?: number
  readonly cpuSeconds?: number
}

/** The request of such a host. */
export function fakeRequest(host: FakeVolunteer): Buffer {
  const { held, results = [], wantedSeconds = 0, idleCpus = 0, cpus = 2, stickyFiles = [] } = host
  return Buffer.from(`<scheduler_request>
    <authenticator>${host.authenticator}</authenticator>
    <hostid>${host.hostId}</hostid>
    <rpc_seqno>${host.sequenceNumber}</rpc_seqno>
    <core_client_major_version>${host.majorVersion ?? 7}</core_client_major_version>
    <core_client_minor_version>20</core_client_minor_version>
    <core_client_release>5</core_client_release>
    <resource_share_fraction>1.000000</resource_share_fraction>
    <duration_correction_factor>1.000000</duration_correction_factor>
    <allow_multiple_clients>${host.allowsMultipleClients === true ? 1 : 0}</allow_multiple_clients>
    <sandbox>0</sandbox>
    <dont_send_work>0</dont_send_work>
    <work_req_seconds>${wantedSeconds.toFixed(6)}</work_req_seconds>
    <cpu_req_secs>${wantedSeconds.toFixed(6)}</cpu_req_secs>
    <cpu_req_instances>${idleCpus.toFixed(6)}</cpu_req_instances>
    <estimated_delay>0.000000</estimated_delay>
    <client_cap_plan_class>1</client_cap_plan_class>
    <platform_name>${host.platform ?? 'x86_64-pc-linux-gnu'}</platform_name>
${host.codeSignKey === undefined ? '' : `<code_sign_key>\n${host.codeSignKey}</code_sign_key>\n`}<cross_project_id></cross_project_id>
<time_stats>
    <on_frac>0.998000</on_frac>
    <active_frac>0.999000</active_frac>
</time_stats>
<net_stats>
    <bwup>0.000000</bwup>
</net_stats>
<host_info>
    <timezone>0</timezone>
    <domain_name>${host.name}</domain_name>
    <ip_addr>192.0.2.7</ip_addr>
    <host_cpid>${host.crossProjectId ?? createHash('md5').update(host.name).digest('hex')}</host_cpid>
    <p_ncpus>${cpus}</p_ncpus>
    <p_vendor>${host.cpuVendor ?? 'GenuineIntel'}</p_vendor>
    <p_model>Intel(R) Xeon(R) Processor @ 2.80GHz [Family 6 Model 85 Stepping 7]</p_model>
    <p_features>fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2</p_features>
    <p_fpops>1000000000.000000</p_fpops>
    <m_nbytes>${(host.memoryBytes ?? 8e9).toFixed(6)}</m_nbytes>
    <d_total>100000000000.000000</d_total>
    <d_free>66695950336.000000</d_free>
    <os_name>Linux Debian</os_name>
    <os_version>Debian GNU/Linux 12 (bookworm)</os_version>
    <n_usable_coprocs>0</n_usable_coprocs>
</host_info>
    <disk_usage>
        <d_boinc_used_total>10000.000000</d_boinc_used_total>
        <d_boinc_used_project>1000.000000</d_boinc_used_project>
        <d_project_share>73247496847.360001</d_project_share>
    </disk_usage>
${results.map((result) => report(result)).join('')}<app_versions>
</app_versions>
${held === undefined ? '' : `<other_results>\n${held.map((name) => otherResult(name)).join('')}</other_results>\n`}${stickyFiles
    .map(
      (name) =>
        `<file_info>\n    <name>${name}</name>\n    <nbytes>5.000000</nbytes>\n    <status>1</status>\n</file_info>\n`,
    )
    .join('')}</scheduler_request>
`)
}

function report({ name, state = 5, exitStatus = 0, cpuSeconds = 10 }: FakeReport): string {
  return `<result>
    <name>${name}</name>
    <final_cpu_time>${cpuSeconds.toFixed(6)}</final_cpu_time>
    <final_elapsed_time>${cpuSeconds.toFixed(6)}</final_elapsed_time>
    <exit_status>${exitStatus}</exit_status>
    <state>${state}</state>
    <platform>x86_64-pc-linux-gnu</platform>
    <version_num>100</version_num>
    <app_version_num>100</app_version_num>
<stderr_out>
<core_client_version>7.20.5</core_client_version>
<![CDATA[
<stderr_txt>
</stderr_txt>
]]>
</stderr_out>
</result>
`
}

function otherResult(name: string): string {
  return `    <other_result>\n        <name>${name}</name>\n        <app_version>0</app_version>\n    </other_result>\n`
}

/** What such a host makes of the answer. */
export interface FakeUnderstanding {
  readonly text: string
  readonly hostId: number | undefined
  readonly requestDelaySeconds: number
  readonly nextRequestSeconds: number
  readonly acknowledged: readonly string[]
  readonly aborted: readonly string[]
  readonly abortedIfNotStarted: readonly string[]
  readonly deletedFiles: readonly string[]
  readonly messages: readonly string[]
  readonly tasks: readonly { readonly name: string; readonly outputName: string; readonly deadline: number }[]
}

export function understand(reply: Uint8Array | string): FakeUnderstanding {
  const text = Buffer.from(reply).toString('latin1')
  const hostId = /<hostid>(\d+)</.exec(text)?.[1]
  const all = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, found = '']) => found)
  const tasks = all(/<result>([^]*?)<\/result>/g).map((task) => ({
    name: /<name>(.*?)</.exec(task)?.[1] ?? '',
    outputName: /<file_name>(.*?)</.exec(task)?.[1] ?? '',
    deadline: Number(/<report_deadline>([\d.]+)</.exec(task)?.[1]),
  }))
  return {
    text,
    hostId: hostId === undefined ? undefined : Number(hostId),
    requestDelaySeconds: Number(/<request_delay>([\d.]+)/.exec(text)?.[1]),
    nextRequestSeconds: Number(/<next_rpc_delay>([\d.]+)/.exec(text)?.[1]),
    acknowledged: all(/<result_ack>\s*<name>(.*?)</g),
    aborted: all(/<result_abort>\s*<name>(.*?)</g),
    abortedIfNotStarted: all(/<result_abort_if_not_started>\s*<name>(.*?)</g),
    deletedFiles: all(/<delete_file_info>(.*?)</g),
    messages: all(/<message[^>]*>(.*?)</g),
    tasks,
  }
}

/** An archive as the launcher packs it: one job, which ended with that code and left that text as its output. */
export function fakeArchive(output: string, exitCode = 0): Buffer {
  const record = `molehill-result 1\nsystem Linux x86_64\njob 1 exited ${exitCode} 1\n`
  return gzipSync(
    Buffer.concat([
      tarMember({ name: 'record', content: record }),
      tarMember({ name: 'jobs', type: '5', mode: 0o755 }),
      tarMember({ name: 'jobs/1', type: '5', mode: 0o755 }),
      tarMember({ name: 'jobs/1/stdout', content: output }),
      Buffer.alloc(1024),
    ]),
  )
}
