import type { HostResult } from '../../src/environment/host.ts'
import { requireRun, requireSuccess, wordsOf } from '../../src/environment/batch/answer.ts'
import {
  mostPerSubmit,
  SchedulerOutputError,
  type Batch,
  type IsOurs,
  type Listed,
  type Listing,
  type Scheduler,
} from '../../src/environment/batch/scheduler.ts'
import type { SgeDirectiveOptions } from './options.ts'
import { readQstatXml, tasksIn } from './qstat-xml.ts'
import { listingOf, listingOfRecord } from './states.ts'

const variables = { LC_ALL: 'C' }

/** The user's jobs, and why those in the error state are there. */
const listScript = `answer=$(qstat -xml -u "$(id -un)") || exit
printf '%s\\n' "$answer"
ids=$(printf '%s\\n' "$answer" | sed -n 's/.*<JB_job_number>\\([0-9]*\\)<.*/\\1/p; /<state>[A-Za-z]*E/s/.*/E/p' |
  awk '$1 == "E" { print last } { last = $1 }' | sort -u | paste -sd, -)
[ -z "$ids" ] || qstat -j "$ids" | grep -E '^(job_number|error reason)' || true`

/** Accounting records of each job: qacct takes one at a time, and fails for those that it does not know. */
const accountScript = 'for id do qacct -j "$id" 2>&1 || true; done'

/** SGE and its successors (Grid Engine 6.2 to 8.1, Univa, Altair), by their commands: qsub(1), qstat(1), qacct(1). */
export function sgeScheduler(options: SgeDirectiveOptions): Scheduler {
  return {
    name: 'SGE',
    resources: ['cpus', 'memoryBytes', 'wallTimeMs'],
    batchSizeAtMost: options.maxArraySize,
    index: '$((SGE_TASK_ID - 1))',
    passedVariables: ['SGE_*'],
    announcesSignals: true,
    directives: (batch) => directivesOf(batch, options),
    // The script is a script, whatever the site's defaults say.
    submit: (scriptPath) => ({ argv: ['qsub', '-terse', '-b', 'n', scriptPath], variables }),
    readSubmitted,
    list: () => ({ argv: ['sh', '-c', listScript], variables }),
    // Jobs may be in the queue from a time when the option was larger.
    readList: (result) => readList(result, Math.max(mostPerSubmit, options.maxArraySize)),
    account: (nativeIds) => ({
      argv: ['sh', '-c', accountScript, 'sh', ...new Set(nativeIds.map((id) => id.split('.', 1)[0]!))],
      variables,
    }),
    readAccount,
    cancel: (nativeIds) => ({ argv: ['qdel', ...nativeIds], variables }),
    readCancelled,
    check: () => ({ argv: ['qstat', '-g', 'c'], variables }),
    readCheck: (result) => readCheck(result, options.queue),
    verify: (batch) => ({
      argv: ['qsub', '-w', 'v', '-b', 'n'],
      // What the script says of `-w` must not count, or the job would be submitted.
      input: ['#!/bin/bash', ...directivesOf(batch, options).filter((line) => !/ -w /.test(line)), ''].join(
        '\n',
      ),
      variables,
    }),
    readVerified,
  }
}

function directivesOf(batch: Batch, options: SgeDirectiveOptions): readonly string[] {
  const { cpus, memoryBytes, wallTimeMs } = batch.resources
  return [
    `-N ${batch.name}`,
    // Always an array, so that a task's number is its index.
    `-t 1-${batch.size}`,
    // Run again it would be another attempt of ours.
    '-r n',
    // Impossible requests are refused at once; without it they wait for ever.
    '-w e',
    // By default SGE kills the process group of the script alone, and the job would go on.
    '-notify',
    '-S /bin/bash',
    `-wd ${word(batch.directory)}`,
    `-o ${word(batch.logPath)}`,
    '-j y',
    ...(options.queue === undefined ? [] : [`-q ${options.queue}`]),
    ...(options.project === undefined ? [] : [`-P ${options.project}`]),
    ...(cpus === undefined || cpus === 1 ? [] : [`-pe ${options.parallelEnvironment} ${cpus}`]),
    ...(wallTimeMs === undefined ? [] : [`-l h_rt=${Math.ceil(wallTimeMs / 1000)}`]),
    // Counted for each slot of a parallel environment.
    ...(memoryBytes === undefined ? [] : [`-l h_vmem=${Math.ceil(memoryBytes / (cpus ?? 1) / 2 ** 20)}M`]),
    ...options.resources.map((each) => `-l ${each}`),
    ...options.extraDirectives,
  ].map((line) => `#$ ${line}`)
}

function word(path: string): string {
  return /^[\w/.,:=@%+-]+$/.test(path) ? path : `"${path.replaceAll(/["\\]/g, '\\$&')}"`
}

const deferrals = /max_u_jobs|max_jobs|too many jobs|maximum number of|job limit|quota/i
const silences = /unable to (contact|send)|can't connect|got no connection|unable to initialize|timeout/i

function readSubmitted(result: HostResult, batch: Batch) {
  requireRun('qsub', result)
  const id = /^(\d+)(?:\.\d+-\d+:\d+)?$/m.exec(result.stdout)?.[1]
  if (result.exitCode === 0 && id !== undefined)
    return {
      kind: 'accepted',
      nativeIds: Array.from({ length: batch.size }, (_, index) => `${id}.${index + 1}`),
    } as const
  const reason = wordsOf(result)
  if (result.exitCode === 0) throw new SchedulerOutputError(`qsub gave no job id: ${reason}`)
  if (silences.test(reason)) throw new SchedulerOutputError(`qsub could not reach SGE: ${reason}`)
  return { kind: deferrals.test(reason) ? 'deferred' : 'rejected', reason } as const
}

function readVerified(result: HostResult): string | undefined {
  requireRun('qsub', result)
  if (result.exitCode === 0) return undefined
  const reason = wordsOf(result)
  // A quota passes, and silence says nothing of the options.
  return silences.test(reason) || deferrals.test(reason) ? undefined : reason
}

function readList(result: HostResult, maxArraySize: number): ReadonlyMap<string, Listed> {
  requireSuccess('qstat', result)
  const jobs = readQstatXml(result.stdout)
  if (jobs === undefined)
    throw new SchedulerOutputError(`qstat -xml gave no whole answer: ${wordsOf(result)}`)
  const reasons = readReasons(result.stdout)
  const rows = new Map<string, Listed>()
  for (const { JB_job_number: id, JB_name: batchName, state, queue_name: queue, tasks } of jobs) {
    if (id === undefined || state === undefined || batchName === undefined) continue
    for (const task of tasksIn(tasks ?? '1', maxArraySize))
      rows.set(`${id}.${task}`, {
        batchName,
        index: task - 1,
        listing: listingOf(state, queue?.split('@')[1] ?? '', reasons.get(`${id}.${task}`)),
      })
  }
  return rows
}

/** Why tasks are in the error state, from the lines of `qstat -j`. */
function readReasons(text: string): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>()
  let id = ''
  for (const line of text.split('\n')) {
    id = /^job_number:\s+(\d+)/.exec(line)?.[1] ?? id
    const [, task, reason] = /^error reason\s+(\d+):\s+(.*)$/.exec(line) ?? []
    if (task !== undefined && reason !== undefined)
      // Without the time and the ids of the process that failed.
      reasons.set(`${id}.${task}`, reason.replace(/^[\d/]+ [\d:]+ \[[\d:]+\]: (error: )?/, '').trim())
  }
  return reasons
}

/** A task may have several records, one for each run: the last one that tells of an end counts. */
function readAccount(result: HostResult, isOurs: IsOurs = () => true): ReadonlyMap<string, Listing> {
  requireRun('qacct', result)
  const listings = new Map<string, Listing>()
  for (const record of result.stdout.split(/^=+$/m).slice(1)) {
    const field = (name: string) => new RegExp(`^${name}\\s+(.*)$`, 'm').exec(record)?.[1]?.trim()
    const id = field('jobnumber')
    const task = field('taskid')
    const [, failed, words] = /^(\d+)\s*:?\s*(.*)$/.exec(field('failed') ?? '') ?? []
    const exitStatus = /^\d+/.exec(field('exit_status') ?? '')?.[0]
    if (id === undefined || task === undefined || failed === undefined || exitStatus === undefined) continue
    const listing = listingOfRecord({
      failed: Number(failed),
      words: words ?? '',
      exitStatus: Number(exitStatus),
    })
    const nativeId = `${id}.${task === 'undefined' ? 1 : task}`
    if (!isOurs(nativeId, field('jobname') ?? '')) continue
    if (listing === undefined) listings.delete(nativeId)
    else listings.set(nativeId, listing)
  }
  return listings
}

function readCancelled(result: HostResult): void {
  requireRun('qdel', result)
  const complaints = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .filter((line) => /^(denied|error|unable)/i.test(line) && !/does not exist|not found/.test(line))
  if (result.exitCode !== 0 && complaints.length > 0)
    throw new SchedulerOutputError(`qdel failed: ${complaints.join(' ').slice(0, 500)}`)
}

function readCheck(result: HostResult, queue: string | undefined): string | undefined {
  if (result.exitCode !== 0) return `qstat failed: ${wordsOf(result)}`
  const known = result.stdout
    .split('\n')
    .map((line) => line.split(/\s+/, 1)[0]!)
    .filter((name) => name !== '' && name !== 'CLUSTER' && !name.startsWith('-'))
  const missing = (queue?.split(',') ?? []).filter((name) => /^[\w.-]+$/.test(name) && !known.includes(name))
  return missing.length === 0
    ? undefined
    : `There is no queue ${missing.join(', ')}. SGE has: ${known.join(', ')}.`
}
