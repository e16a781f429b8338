import type { HostResult } from '../../src/environment/host.ts'
import { requireRun, wordsOf } from '../../src/environment/batch/answer.ts'
import {
  SchedulerOutputError,
  type Batch,
  type Listed,
  type Listing,
  type Scheduler,
} from '../../src/environment/batch/scheduler.ts'
import { directivesOf } from './directives.ts'
import type { PbsDirectiveOptions, PbsFlavour } from './options.ts'
import { indexOf, readQstatText, type QstatJob } from './qstat-text.ts'
import { listingOf } from './states.ts'

const variables = { LC_ALL: 'C' }

/** The user's own jobs; where nothing selects them, everybody's. */
const listScript = `command -v qselect >/dev/null || exec qstat -f -t
ids=$(qselect -u "$(id -un)") || exit
[ -z "$ids" ] || exec qstat -f -t $ids`

/** PBS Professional, OpenPBS and Torque, by their commands: qsub(1B), qstat(1B), qdel(1B). */
export function pbsScheduler(options: PbsDirectiveOptions): Scheduler {
  const { flavour } = options
  return {
    name: flavour === 'torque' ? 'Torque' : 'PBS Pro',
    resources: ['cpus', 'memoryBytes', 'gpus', 'nodes', 'wallTimeMs'],
    batchSizeAtMost: options.maxArraySize,
    index: '${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-0}}',
    // The last one for Torque's commands over Slurm.
    passedVariables: ['PBS_CONF_FILE', 'PBS_SERVER', 'PBS_DEFAULT', 'SLURM_CONF'],
    directives: (batch) => directivesOf(batch, options),
    submit: (scriptPath) => ({ argv: ['qsub', scriptPath], variables }),
    readSubmitted,
    list: () => ({ argv: ['sh', '-c', listScript], variables }),
    readList: (result) => readList(result, flavour),
    account: (nativeIds) => ({
      argv: [
        'qstat',
        ...(flavour === 'pbspro' ? ['-x'] : []),
        '-f',
        '-t',
        ...new Set(nativeIds.map(arrayOf)),
      ],
      variables,
    }),
    readAccount: (result, isOurs = () => true) =>
      new Map<string, Listing>(
        readJobs(result).flatMap(({ id, attributes }) =>
          indexOf(id) !== undefined && isOurs(id, nameOf(attributes['job_name'] ?? ''))
            ? [[id, listingOf(attributes, flavour)]]
            : [],
        ),
      ),
    cancel: (nativeIds) => ({ argv: ['qdel', ...nativeIds], variables }),
    readCancelled,
    check: () => ({
      argv: ['qstat', '-Q', ...(options.queue === undefined ? [] : [options.queue])],
      variables,
    }),
    readCheck: (result) => (result.exitCode === 0 ? undefined : `qstat -Q failed: ${wordsOf(result)}`),
  }
}

/** `12[]` of `12[3]`: all jobs of an array are asked for at once. */
function arrayOf(id: string): string {
  return id.replace(/\[\d+\]$/, '[]')
}

/** Also of a queue or a server that is closed for now. */
const deferrals =
  /would exceed|maximum number of jobs|limit on|too many jobs|max_queu|queue is not enabled|shutting down/i
const silences =
  /cannot connect|can not connect|connect to trqauthd|connection (refused|reset)|communication failure|time(d )?-?out|End of File|No default server/i

function readSubmitted(result: HostResult, batch: Batch) {
  requireRun('qsub', result)
  const id = /^(\d+(?:\[\])?)(?:\.[\w.-]+)?\s*$/m.exec(result.stdout)?.[1]
  if (result.exitCode === 0 && id !== undefined) {
    const number = id.replace('[]', '')
    return {
      kind: 'accepted',
      nativeIds:
        batch.size === 1 ? [id] : Array.from({ length: batch.size }, (_, index) => `${number}[${index}]`),
    } as const
  }
  const reason = wordsOf(result)
  if (result.exitCode === 0) throw new SchedulerOutputError(`qsub gave no job id: ${reason}`)
  if (silences.test(reason)) throw new SchedulerOutputError(`qsub could not reach PBS: ${reason}`)
  return { kind: deferrals.test(reason) ? 'deferred' : 'rejected', reason } as const
}

function readList(result: HostResult, flavour: PbsFlavour): ReadonlyMap<string, Listed> {
  const rows = new Map<string, Listed>()
  for (const { id, attributes } of readJobs(result)) {
    const index = indexOf(id)
    // The record of an array as a whole is none of a job.
    if (index === undefined) continue
    rows.set(id, {
      batchName: nameOf(attributes['job_name'] ?? ''),
      index,
      listing: listingOf(attributes, flavour),
    })
  }
  return rows
}

/** Torque adds the index to the name of an array's job. */
function nameOf(name: string): string {
  return name.replace(/-\d+$|\[\d+\]$/, '')
}

/** The jobs that qstat printed. It fails for those that it does not know, and still tells of the others. */
function readJobs(result: HostResult): readonly QstatJob[] {
  requireRun('qstat', result)
  const faults = result.stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !/Unknown Job|has finished|not found|No matching/i.test(line))
  const jobs = readQstatText(result.stdout)
  if (result.exitCode !== 0 && (faults.length > 0 || (result.stderr.trim() === '' && jobs.length === 0)))
    throw new SchedulerOutputError(`qstat failed: ${wordsOf(result)}`)
  // A record without its state was cut.
  return jobs.filter(({ attributes }) => attributes['job_state'] !== undefined)
}

function readCancelled(result: HostResult): void {
  requireRun('qdel', result)
  const complaints = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .filter(
      (line) =>
        line.trim() !== '' &&
        !/Unknown Job|has finished|invalid for state|invalid state for job|not found/i.test(line),
    )
  if (result.exitCode !== 0 && complaints.length > 0)
    throw new SchedulerOutputError(`qdel failed: ${complaints.join(' ').slice(0, 500)}`)
}
