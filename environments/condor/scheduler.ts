import type { HostResult } from '../../src/environment/host.ts'
import { requireRun, requireSuccess, wordsOf } from '../../src/environment/batch/answer.ts'
import {
  SchedulerOutputError,
  type Batch,
  type Listed,
  type Listing,
  type Scheduler,
} from '../../src/environment/batch/scheduler.ts'
import { descriptionOf } from './description.ts'
import type { CondorDescriptionOptions } from './options.ts'
import { attributes, listingOf, readJob, type CondorJob } from './states.ts'

const variables = { LC_ALL: 'C' }
const asked = ['-json', '-attributes', attributes.join(',')]

/** HTCondor 9.4 and newer, by its commands. Jobs are told by `cluster.process`. */
export function condorScheduler(options: CondorDescriptionOptions): Scheduler {
  return {
    name: 'HTCondor',
    resources: ['cpus', 'memoryBytes', 'gpus', 'wallTimeMs'],
    batchSizeAtMost: options.maxArraySize,
    index: '$MOLEHILL_BATCH_INDEX',
    passedVariables: ['CONDOR_CONFIG'],
    keepsHeldJobs: true,
    // All is said in the submit description.
    directives: () => [],
    submit: (scriptPath, batch) => ({
      argv: ['condor_submit', '-terse', '-'],
      input: descriptionOf(scriptPath, batch, options),
      variables,
    }),
    readSubmitted,
    list: () => ({ argv: ['condor_q', ...asked], variables }),
    readList,
    account: (nativeIds) => ({
      // The history is read backwards, until as many were found.
      argv: ['condor_history', ...nativeIds, ...asked, '-limit', String(nativeIds.length)],
      variables,
    }),
    readAccount: (result, isOurs = () => true) => {
      const jobs = readJobs('condor_history', result).filter((job) =>
        isOurs(idOf(job), job.JobBatchName ?? ''),
      )
      return new Map<string, Listing>(jobs.map((job) => [idOf(job), listingOf(job)]))
    },
    cancel: (nativeIds) => ({ argv: ['condor_rm', ...nativeIds], variables }),
    readCancelled,
    check: () => ({ argv: ['condor_q', '-totals'], variables }),
    readCheck: (result) => (result.exitCode === 0 ? undefined : `condor_q failed: ${wordsOf(result)}`),
  }
}

const deferrals = /MAX_JOBS_PER_OWNER|MAX_JOBS_PER_SUBMISSION|MAX_JOBS_SUBMITTED|would exceed/i
const silences = /find address of|failed to connect|connect to local queue manager|timed? ?out|AUTHENTICATE/i

function readSubmitted(result: HostResult, batch: Batch) {
  requireRun('condor_submit', result)
  const cluster = /^(\d+)\.\d+ - \d+\.\d+\s*$/m.exec(result.stdout)?.[1]
  if (result.exitCode === 0 && cluster !== undefined)
    return {
      kind: 'accepted',
      nativeIds: Array.from({ length: batch.size }, (_, index) => `${cluster}.${index}`),
    } as const
  const reason = wordsOf(result)
  if (result.exitCode === 0) throw new SchedulerOutputError(`condor_submit gave no job id: ${reason}`)
  if (silences.test(reason))
    throw new SchedulerOutputError(`condor_submit could not reach HTCondor: ${reason}`)
  return { kind: deferrals.test(reason) ? 'deferred' : 'rejected', reason } as const
}

function readList(result: HostResult): ReadonlyMap<string, Listed> {
  return new Map<string, Listed>(
    readJobs('condor_q', result).map((job) => [
      idOf(job),
      { batchName: job.JobBatchName ?? '', index: job.ProcId, listing: listingOf(job) },
    ]),
  )
}

function idOf(job: CondorJob): string {
  return `${job.ClusterId}.${job.ProcId}`
}

/** The jobs of an answer in JSON. No text at all is what HTCondor prints when there are none. */
function readJobs(program: string, result: HostResult): readonly CondorJob[] {
  requireSuccess(program, result)
  if (result.stdout.trim() === '') return []
  // A login may print lines before it.
  const text = /^\[[\s\S]*\]/m.exec(result.stdout)?.[0]
  let value: unknown
  try {
    value = JSON.parse(text ?? '')
  } catch (error) {
    throw new SchedulerOutputError(`${program} gave no whole answer: ${wordsOf(result)}`, { cause: error })
  }
  return Array.isArray(value) ? value.flatMap((each) => readJob(each) ?? []) : []
}

function readCancelled(result: HostResult): void {
  requireRun('condor_rm', result)
  const complaints = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .filter((line) => line.trim() !== '' && !/not found|marked for removal|already/i.test(line))
  if (result.exitCode !== 0 && complaints.length > 0)
    throw new SchedulerOutputError(`condor_rm failed: ${complaints.join(' ').slice(0, 500)}`)
}
