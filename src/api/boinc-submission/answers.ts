import { cdata, writeAsciiXml, xml, type XmlNode } from '../write-xml.ts'
import type { BatchView, JobView } from './batch-view.ts'
import { isOver, words } from './job-states.ts'
import type { Generation } from './read-request.ts'

/** A whole reply. It is ASCII, so that the declared encoding never matters; the status is 200 for failures too. */
export function reply(root: XmlNode): Response {
  return new Response(`<?xml version="1.0" encoding="ISO-8859-1" ?>\n${writeAsciiXml(root)}\n`, {
    headers: { 'content-type': 'text/xml', 'cache-control': 'no-store' },
  })
}

/** How a failed operation is told, to those who asked in the manner of 2010 and to those of today. */
export function failure(operation: string, generation: Generation, message: string): XmlNode {
  if (generation === 'first') return xml('error', xml('message', message))
  return xml(operation, xml('error', xml('error_num', -1), xml('error_msg', message)))
}

/** How it is told that a request cannot be read at all, so that everybody understands it. */
export function unreadable(message: string): XmlNode {
  return xml('error', xml('message', message), xml('error_num', -1), xml('error_msg', message))
}

/** Seconds with at most three digits behind the point. */
export function seconds(value: number): string {
  return String(Math.round(value * 1000) / 1000)
}

/** What is told of a batch. `cpuSeconds` where it was asked for. */
export function batchParameters(
  view: BatchView,
  now: number,
  cpuSeconds: number | undefined,
): readonly XmlNode[] {
  const { batch, state, fractionDone, failed, completedAt } = view
  const estimated = completedAt > 0 || state !== 1 ? 0 : Math.round(now / 1000 + view.remainingSeconds)
  return [
    xml('id', batch.id),
    xml('create_time', unixTime(batch.createdAt)),
    xml('expire_time', unixTime(batch.expireAt)),
    xml('est_completion_time', estimated),
    xml('njobs', batch.jobs),
    xml('fraction_done', fraction(fractionDone)),
    xml('nerror_jobs', failed),
    xml('state', state),
    xml('completion_time', unixTime(completedAt)),
    xml('credit_estimate', 0),
    xml('credit_canonical', 0),
    xml('name', batch.name),
    xml('app_name', batch.app),
    ...(cpuSeconds === undefined ? [] : [xml('total_cpu_time', seconds(cpuSeconds))]),
  ]
}

/** A job in the list of its batch. */
export function jobOfBatch(view: JobView, withDetails: boolean): XmlNode {
  const { job, standing, exitCode } = view
  const { status, error } = words[standing]
  const details = withDetails
    ? [
        ...(error === undefined ? [] : [xml('error', error.word)]),
        ...(error === undefined || exitCode === null ? [] : [xml('exit_status', exitCode)]),
        ...(standing === 'done' ? [xml('cpu_time', seconds(runSeconds(view, 0)))] : []),
        xml('status', status),
      ]
    : []
  return xml(
    'job',
    xml('id', job.id),
    xml('name', job.name),
    xml('canonical_instance_id', canonicalInstance(view)),
    ...details,
  )
}

/** A job as HTCondor asks for it. */
export function jobOfCondor({ job, standing }: JobView): XmlNode {
  return xml('job', xml('job_name', job.name), xml('status', words[standing].condor))
}

/** A job in the manner of 2010. Host 0 is the server's own computer. */
export function jobStatus(view: JobView, now: number): XmlNode {
  const { standing, startedAt, exitCode } = view
  if (standing === 'aborted') return xml('job_status', xml('aborted'))
  if (standing === 'unsent' || startedAt === null) {
    const additions = isOver(standing) ? [xml('state', words[standing].status)] : []
    return xml('job_status', xml('instance', xml('unsent'), ...additions))
  }
  return xml(
    'job_status',
    xml(
      'instance',
      xml('hostid', 0),
      xml('userid', 0),
      xml('runtime', seconds(runSeconds(view, now))),
      xml('fraction_done', standing === 'done' ? 1 : 0),
      xml('state', words[standing].status),
      ...(exitCode === null ? [] : [xml('exit_status', exitCode)]),
    ),
  )
}

/** A batch in the manner of 2010. */
export function batchStatus({
  batch,
  fractionDone,
  succeeded,
  failed,
  remainingSeconds,
}: BatchView): XmlNode {
  return xml(
    'batch_status',
    xml('fraction_done', fraction(fractionDone)),
    xml('jobs_completed', succeeded + failed),
    xml('remaining_time', seconds(remainingSeconds)),
    xml('jobs', batch.jobs),
    xml('jobs_failed', failed),
  )
}

/** The instances of a job: its attempts. `sizes` are those of the files that the last one left. */
export function jobInstances(view: JobView, sizes: readonly number[]): readonly XmlNode[] {
  const { job, standing } = view
  const last = instanceCount(view) - 1
  return Array.from({ length: last + 1 }, (_, index) =>
    xml(
      'instance',
      xml('name', `${job.name}_${index}`),
      xml('id', instanceId(job.id, index)),
      xml('state', index < last ? words.lost.phrase : words[standing].phrase),
      ...(index === last && isOver(standing) ? sizes.map((size) => xml('outfile', xml('size', size))) : []),
    ),
  )
}

/** A job that has ended, with what it told on its standard error. */
export function completedJob(view: JobView, printed: string): XmlNode {
  const { standing, exitCode, job } = view
  const { error } = words[standing]
  const instance = instanceId(job.id, instanceCount(view) - 1)
  return xml(
    'completed_job',
    xml('error_mask', error?.bit ?? 0),
    xml(error === undefined ? 'canonical_resultid' : 'error_resultid', instance),
    xml('exit_status', exitCode ?? (error === undefined ? 0 : 1)),
    xml('elapsed_time', seconds(runSeconds(view, 0))),
    xml('cpu_time', seconds(runSeconds(view, 0))),
    xml('stderr_out', cdata(escapeHtml(printed))),
  )
}

/** Run time of the last attempt; of one that runs, until now. */
export function runSeconds({ startedAt, endedAt }: JobView, now: number): number {
  return startedAt === null ? 0 : Math.max(0, ((endedAt ?? now) - startedAt) / 1000)
}

/** So many instances a job can have, as far as ids go. */
const instancesOfJob = 16

/** Ids of instances: below 2³¹ for a hundred million jobs. */
export function instanceId(job: number, index: number): number {
  return job * instancesOfJob + Math.min(index, instancesOfJob - 1)
}

/** The job and the position that the id of an instance stands for. */
export function readInstanceId(id: number): { readonly job: number; readonly index: number } {
  return { job: Math.floor(id / instancesOfJob), index: id % instancesOfJob }
}

/** A job has an instance from the moment on when it exists. */
export function instanceCount({ attempts }: JobView): number {
  return Math.max(1, attempts)
}

function canonicalInstance(view: JobView): number {
  return view.standing === 'done' ? instanceId(view.job.id, instanceCount(view) - 1) : 0
}

/** Clients unescape it once more than CDATA asks for. */
function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']|[^\n\t -~]/gu, (character) => `&#${character.codePointAt(0) ?? 63};`)
}

function fraction(value: number): string {
  return String(Math.round(value * 1e6) / 1e6)
}

function unixTime(timeMs: number): number {
  return Math.floor(timeMs / 1000)
}
