import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../conformance/until.ts'
import { claimPorts, type PortBlock } from './ports.ts'
import { tryCommand } from './run-command.ts'

/** A client acts once a second, and looks at its projects every five. */
const patienceMs = 120_000

export interface BoincClientOptions {
  /** Processors that it says it has. */
  readonly cpus?: number
  /** Of a server that answers, for what the client would ask the BOINC site. */
  readonly testUrl: string
  /** A directory of programs that its tasks find before those of the system. */
  readonly programs?: string
  /** More options of `cc_config.xml`, as text: `<alt_platform>...</alt_platform>`. */
  readonly configuration?: string
  /** Certificates of authorities that it trusts, PEM; those of the system without. */
  readonly authorities?: string
}

/** A task as `boinccmd --get_tasks` tells of it: `name`, `WU name`, `state`, `active_task_state`, `fraction done` ... */
export type BoincTask = Readonly<Record<string, string>>

/** One unmodified BOINC client, with its own data directory, on 127.0.0.1 only. It runs as the user of the tests. */
export class BoincClient implements AsyncDisposable {
  readonly directory: string
  readonly #ports: PortBlock
  readonly #programs: string | undefined
  #process: ChildProcess | undefined

  private constructor(directory: string, ports: PortBlock, programs: string | undefined) {
    this.directory = directory
    this.#ports = ports
    this.#programs = programs
  }

  static async start(options: BoincClientOptions): Promise<BoincClient> {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-boinc-'))
    const client = new BoincClient(directory, await claimPorts(), options.programs)
    try {
      await client.#configure(options)
      await client.launch()
      return client
    } catch (error) {
      await client.stop()
      throw error
    }
  }

  /** Starts the client, on the data that it has. */
  async launch(): Promise<void> {
    const log = openSync(join(this.directory, 'log.txt'), 'a')
    // Its own log goes there too; what it must not use is of this machine.
    const { http_proxy: _one, https_proxy: _other, ...env } = process.env
    const command = ['boinc', '--dir', this.directory, '--gui_rpc_port', String(this.#ports.first)]
    // Tests that are killed leave no client.
    this.#process = spawn('setpriv', ['--pdeathsig', 'TERM', ...command], {
      cwd: this.directory,
      stdio: ['ignore', log, log],
      env: this.#programs === undefined ? env : { ...env, PATH: `${this.#programs}:${env['PATH'] ?? ''}` },
    })
    closeSync(log)
    this.#process.on('error', () => undefined)
    await until(
      'the BOINC client answers',
      async () => ((await this.#ask(['--get_host_info'])).code === 0 ? true : undefined),
      () => this.#process?.exitCode ?? 'it runs',
      patienceMs,
    )
  }

  get pid(): number {
    return this.#process?.pid ?? 0
  }

  attach(url: string, key: string): Promise<string> {
    return this.command('--project_attach', url, key)
  }

  /** Contacts the project now, whatever the client waits for. */
  update(url: string): Promise<string> {
    return this.command('--project', url, 'update')
  }

  /** Tries again what the client put off after a failure, as a person may: by itself it comes after minutes or hours. */
  async retry(url: string): Promise<void> {
    await this.command('--network_available')
    await this.update(url)
  }

  /** Suspends the client's network, as when it is pulled out; `always` brings it back. */
  network(mode: 'always' | 'never'): Promise<string> {
    return this.command('--set_network_mode', mode)
  }

  /** Runs boinccmd, which must succeed, and gives what it printed. */
  async command(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#ask(words)
    if (code !== 0) throw new Error(`boinccmd ${words.join(' ')} ended with ${code}: ${stderr}${stdout}`)
    return stdout
  }

  async tasks(): Promise<readonly BoincTask[]> {
    const text = await this.command('--get_tasks')
    return text.split(/^\d+\) -+$/m).flatMap((block) => {
      const pairs = [...block.matchAll(/^\s+([^:\n]+): (.*)$/gm)]
      return pairs.length === 0
        ? []
        : [Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value]))]
    })
  }

  /** Waits for a task that is as wished. */
  async untilTask(what: string, isWanted: (task: BoincTask) => boolean): Promise<BoincTask> {
    let last: readonly BoincTask[] = []
    return until(
      `a task ${what}`,
      async () => {
        // Each question is a program.
        await pause(500)
        last = await this.tasks()
        return last.find(isWanted)
      },
      () => last,
      patienceMs,
    )
  }

  /** What the client has written, about itself and its tasks. */
  log(): Promise<string> {
    return readFile(join(this.directory, 'log.txt'), 'utf8')
  }

  /** The client alone dies, as by the kernel's hand; its tasks are left to themselves. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Ends client and tasks, and removes its data. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
    await this.#ports.release()
    await rm(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 500 })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #ask(words: readonly string[]) {
    // It reads the password in its working directory, which is not looked at when one is given.
    const command = ['boinccmd', '--host', `127.0.0.1:${this.#ports.first}`, '--passwd', password, ...words]
    return tryCommand(command, { timeoutMs: patienceMs })
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process
    const { pid } = child ?? {}
    if (child === undefined || pid === undefined || child.exitCode !== null || child.signalCode !== null)
      return
    child.kill(signal)
    try {
      // It waits for tasks up to a minute.
      await until(
        'the BOINC client has ended',
        () => child.exitCode !== null || child.signalCode !== null || undefined,
        () => 'it runs',
        90_000,
      )
    } finally {
      child.kill('SIGKILL')
    }
  }

  async #configure({
    cpus = 1,
    testUrl,
    configuration = '',
    authorities,
  }: BoincClientOptions): Promise<void> {
    await mkdir(this.directory, { recursive: true })
    const files = {
      'gui_rpc_auth.cfg': password,
      'cc_config.xml': configurationText(cpus, testUrl, configuration),
      'global_prefs_override.xml': preferencesText,
      ...(authorities !== undefined && { 'ca-bundle.crt': authorities }),
    }
    for (const [name, text] of Object.entries(files))
      await writeFile(join(this.directory, name), text, { mode: 0o600 })
  }
}

const password = 'open sesame'

/** Priorities stay as they are: on a busy machine a task would never run. */
function configurationText(cpus: number, testUrl: string, more: string): string {
  return `<cc_config>
  <log_flags><task>1</task><file_xfer>1</file_xfer><sched_ops>1</sched_ops><sched_op_debug>1</sched_op_debug><unparsed_xml>1</unparsed_xml></log_flags>
  <options>
    <skip_cpu_benchmarks>1</skip_cpu_benchmarks>
    <dont_contact_ref_site>1</dont_contact_ref_site>
    <no_info_fetch>1</no_info_fetch>
    <network_test_url>${testUrl}</network_test_url>
    <client_version_check_url>${testUrl}</client_version_check_url>
    <allow_multiple_clients>1</allow_multiple_clients>
    <no_gpus>1</no_gpus>
    <dont_use_vbox>1</dont_use_vbox>
    <no_priority_change>1</no_priority_change>
    <report_results_immediately>1</report_results_immediately>
    <ncpus>${cpus}</ncpus>
    ${more}
  </options>
</cc_config>
`
}

const preferencesText = `<global_preferences>
  <run_on_batteries>1</run_on_batteries> <run_if_user_active>1</run_if_user_active>
  <suspend_cpu_usage>0</suspend_cpu_usage>
  <work_buf_min_days>0.01</work_buf_min_days> <work_buf_additional_days>0.01</work_buf_additional_days>
  <disk_min_free_gb>0.1</disk_min_free_gb> <disk_max_used_pct>90</disk_max_used_pct> <disk_max_used_gb>0</disk_max_used_gb>
  <ram_max_used_busy_pct>90</ram_max_used_busy_pct>
</global_preferences>
`
