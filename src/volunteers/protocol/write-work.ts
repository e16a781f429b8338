import type { ApplicationFile, WorkunitInput } from '../../environment/volunteers.ts'
import type { AssignedWorkunit, Assignment } from '../exchange.ts'
import { escapeXml, fixed, seconds } from './write-element.ts'
import type { ReplySettings } from './write-reply.ts'

/** Clients before 6.0 had another way to speak with programs; this one chooses the file that launchers know. */
const apiVersion = '7.20.5'
/** Times are told as operations on a computer that does so many a second. */
const flops = 1e9

/** A file of a program: clients take it by its signature. */
export function writeApplicationFiles(
  { name, signature, md5, bytes }: ApplicationFile,
  { downloadUrl, signatures }: ReplySettings,
): string {
  return `<file_info>
    <name>${escapeXml(name)}</name>
    <url>${escapeXml(downloadUrl + name)}</url>
    <executable/>
    <file_signature>
${signatures[md5] ?? signature}    </file_signature>
    <md5_cksum>${md5}</md5_cksum>
    <nbytes>${bytes}</nbytes>
</file_info>
`
}

/** Clients know a version by application, number, platform and plan class: what needs more processors is another. */
export function writeApplicationVersion({ application, cpus }: AssignedWorkunit, platform: string): string {
  const references = (application.platforms[platform] ?? []).map(
    ({ name, openName }) => `    <file_ref>
        <file_name>${escapeXml(name)}</file_name>
${openName === undefined ? '        <main_program/>' : `        <open_name>${escapeXml(openName)}</open_name>`}
    </file_ref>
`,
  )
  return `<app_version>
    <app_name>${escapeXml(application.name)}</app_name>
    <version_num>${application.version}</version_num>
    <api_version>${apiVersion}</api_version>
${references.join('')}    <platform>${escapeXml(platform)}</platform>
    <plan_class>${planClass(cpus)}</plan_class>
    <avg_ncpus>${fixed(cpus)}</avg_ncpus>
    <flops>${fixed(flops)}</flops>
</app_version>
`
}

/** A workunit with its inputs, and the copy of it with the file that it is to send. */
export function writeWorkunit(
  { name, workunit, platform, deadline, outputName }: Assignment,
  { downloadUrl, uploadUrl }: ReplySettings,
  once: (key: string, write: () => string) => void,
  sign: (name: string, bytesAtMost: number) => string,
  pieces: string[],
): void {
  const { application, inputs, outputBytesAtMost, cpus } = workunit
  for (const input of inputs) once(`file ${input.name}`, () => writeInput(input, downloadUrl))
  once(`workunit ${workunit.name}`, () => writeWorkunitItself(workunit))
  pieces.push(`<file_info>
    <name>${escapeXml(outputName)}</name>
    <generated_locally/>
    <upload_when_present/>
    <max_nbytes>${outputBytesAtMost}</max_nbytes>
    <url>${escapeXml(uploadUrl)}</url>
<xml_signature>
${sign(outputName, outputBytesAtMost)}</xml_signature>
</file_info>
<result>
    <name>${escapeXml(name)}</name>
    <wu_name>${escapeXml(workunit.name)}</wu_name>
    <platform>${escapeXml(platform)}</platform>
    <version_num>${application.version}</version_num>
    <plan_class>${planClass(cpus)}</plan_class>
    <report_deadline>${seconds(deadline)}</report_deadline>
    <report_immediately/>
${reference(outputName, application.resultName)}</result>
`)
}

function writeInput({ name, md5, bytes, keptMs }: WorkunitInput, downloadUrl: string): string {
  const sticky =
    keptMs === undefined
      ? ''
      : `    <sticky/>\n    <sticky_lifetime>${Math.ceil(keptMs / 1000)}</sticky_lifetime>\n`
  return `<file_info>
    <name>${escapeXml(name)}</name>
    <url>${escapeXml(downloadUrl + name)}</url>
    <md5_cksum>${md5}</md5_cksum>
    <nbytes>${bytes}</nbytes>
${sticky}</file_info>
`
}

function writeWorkunitItself(workunit: AssignedWorkunit): string {
  const operations = (durationMs: number) => fixed((durationMs / 1000) * flops)
  return `<workunit>
    <rsc_fpops_est>${operations(workunit.estimatedMs)}</rsc_fpops_est>
    <rsc_fpops_bound>${operations(workunit.wallTimeMs)}</rsc_fpops_bound>
    <rsc_memory_bound>${fixed(workunit.memoryBytes)}</rsc_memory_bound>
    <rsc_disk_bound>${fixed(workunit.diskBytes)}</rsc_disk_bound>
    <name>${escapeXml(workunit.name)}</name>
    <app_name>${escapeXml(workunit.application.name)}</app_name>
${workunit.inputs.map(({ name, openName }) => reference(name, openName)).join('')}</workunit>
`
}

/** Copied into the working directory or out of it: without that, clients put a small file with the name there. */
function reference(name: string, openName: string): string {
  return `    <file_ref>
        <file_name>${escapeXml(name)}</file_name>
        <open_name>${escapeXml(openName)}</open_name>
        <copy_file/>
    </file_ref>
`
}

/** Empty for one processor. */
function planClass(cpus: number): string {
  return cpus === 1 ? '' : `${cpus}cpus`
}
