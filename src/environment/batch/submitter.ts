import { setTimeout as delay } from 'node:timers/promises'
import {
  EnvironmentError,
  type JobHandle,
  type JobId,
  type JobRequest,
  type SubmitOutcome,
} from '../environment.ts'
import type { HostFile, NewJob } from '../job-files/job-files.ts'
import { batchScript } from '../job-files/job-script.ts'
import { executionPath, type JobPlace } from '../job-files/places.ts'
import type { BatchEnvironmentOptions, BatchSurroundings } from './batch-environment.ts'
import { BatchSize } from './batch-size.ts'
import { findJobs } from './find-jobs.ts'
import { handleOf, noteOf, readHandle, submittedText, type FollowedJobs } from './handle.ts'
import { listedJobs } from './listed-jobs.ts'
import { Pace } from './pace.ts'
import { batchPath, planBatches, type PlannedBatch } from './plan-batches.ts'
import { SchedulerOutputError, type Batch, type SubmittedBatch } from './scheduler.ts'
import { messageOf } from '../../problem.ts'

/** When the list is asked for a batch whose submission gave no answer: a scheduler may list it late. */
const searchesMs: readonly number[] = [0, 500, 2000]

/** Brings jobs into the queue of a scheduler, each once, also where answers are lost. */
export class Submitter {
  readonly #surroundings: BatchSurroundings
  readonly #options: BatchEnvironmentOptions
  readonly #jobs: FollowedJobs
  readonly #pace: Pace
  readonly #size: BatchSize
  /** Jobs of submissions that were broken off: the scheduler may have got them. */
  readonly #doubtful = new Set<JobId>()
  /** Deferred although nobody knows whether the scheduler got them. */
  readonly #stillDoubtful = new Set<JobId>()

  constructor(surroundings: BatchSurroundings, options: BatchEnvironmentOptions, jobs: FollowedJobs) {
    this.#surroundings = surroundings
    this.#options = options
    this.#jobs = jobs
    this.#pace = new Pace(options.submissionsPerMinute, surroundings.now)
    this.#size = new BatchSize(surroundings.scheduler.batchSizeAtMost)
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    const outcomes = new Map<JobId, SubmitOutcome>()
    await this.#clearDoubts(requests, outcomes, signal)
    const fresh = requests.filter(({ id }) => !outcomes.has(id))
    if (fresh.length === 0) return outcomes
    const base = await this.#surroundings.files.base(signal)
    for (const { id } of fresh) this.#doubtful.add(id)
    const round: Round = { base, outcomes, made: [], written: [], trial: undefined, signal }
    for (let waiting = fresh; waiting.length > 0; waiting = fresh.filter(({ id }) => !outcomes.has(id))) {
      const reason = await this.#submitSome(waiting, round)
      if (reason === undefined) continue
      // Others would be refused for the same reason.
      for (const { id } of waiting) if (!outcomes.has(id)) outcomes.set(id, { kind: 'deferred', reason })
    }
    for (const { id } of fresh) this.#doubtful.delete(id)
    for (const id of this.#stillDoubtful) this.#doubtful.add(id)
    this.#stillDoubtful.clear()
    await this.#tidy(round)
    return outcomes
  }

  /** Submits batches until one of them tells how many jobs the scheduler takes. Gives its reason where it takes none now. */
  async #submitSome(waiting: readonly JobRequest[], round: Round): Promise<string | undefined> {
    const { base, outcomes, made, written, signal } = round
    const batches = this.#plan(waiting, round)
    const refused = await this.#surroundings.files.prepare(
      batches.flatMap(({ planned }) => this.#newJobs(planned)),
      batches.flatMap((prepared) => this.#batchFiles(prepared, base)),
      signal,
    )
    made.push(...batches)
    for (const [id, reason] of refused) outcomes.set(id, { kind: 'rejected', reason })
    for (const prepared of batches) {
      const { planned } = prepared
      if (planned.requests.every(({ id }) => refused.has(id))) continue
      const result = await this.#submitBatch(prepared, signal)
      const size = planned.requests.length
      if (result.kind === 'rejected' && size > 1) {
        // Nobody says whether it is for what the jobs ask for or for their number: one of them is tried alone.
        round.trial = planned
        return undefined
      }
      this.#settle(planned, result, outcomes)
      if (result.kind === 'accepted') {
        this.#size.taken(size)
        written.push({ path: `${batchPath(planned)}/submitted`, text: submittedText(result.nativeIds) })
        if (round.trial !== undefined) this.#size.refused(round.trial.requests.length)
      } else if (result.kind === 'rejected' && round.trial !== undefined)
        this.#settle(round.trial, result, outcomes)
      else if (result.kind === 'deferred') {
        // No answer says nothing of how many jobs are too many.
        if (!planned.requests.some(({ id }) => this.#stillDoubtful.has(id))) this.#size.deferred(size)
        return result.reason
      }
      round.trial = undefined
    }
    return undefined
  }

  /** Everything that waits; one batch alone as long as it is being found out how many jobs the scheduler takes. */
  #plan(waiting: readonly JobRequest[], { base, outcomes, trial }: Round): readonly Prepared[] {
    const { defaults } = this.#options
    const alone = trial?.requests.find(({ id }) => !outcomes.has(id))
    const planned =
      alone !== undefined
        ? planBatches([alone], 1, defaults)
        : planBatches(waiting, this.#size.now, defaults).slice(0, this.#size.isFull ? undefined : 1)
    return planned.map((each): Prepared => ({ planned: each, batch: batchOf(each, base) }))
  }

  async #clearDoubts(
    requests: readonly JobRequest[],
    outcomes: Map<JobId, SubmitOutcome>,
    signal: AbortSignal,
  ): Promise<void> {
    const ids = requests.map(({ id }) => id).filter((id) => this.#doubtful.has(id))
    if (ids.length === 0) return
    for (const handle of await findJobs(ids, this.#surroundings, signal)) this.#accept(handle, outcomes)
  }

  #newJobs({ name, requests }: PlannedBatch): readonly NewJob[] {
    const now = this.#surroundings.now()
    return requests.map((request, index) => ({ request, note: noteOf(name, index, now) }))
  }

  #batchFiles({ planned, batch }: Prepared, base: string): readonly HostFile[] {
    const { scheduler } = this.#surroundings
    const place = batchPath(planned)
    const { wallTimeMs } = planned.resources
    const script = batchScript({
      directives: scheduler.directives(batch),
      index: scheduler.index,
      jobsFile: `${base}/${place}/jobs`,
      jobsDirectory: `${base}/${executionPath(planned.key)}/jobs`,
      stopGraceMs: this.#options.stopGraceMs,
      announcesSignals: scheduler.announcesSignals === true,
      ...(wallTimeMs !== undefined && { wallTimeMs }),
    })
    return [
      { path: `${place}/script`, text: script },
      { path: `${place}/jobs`, text: planned.requests.map(({ id }) => `${id}\n`).join('') },
    ]
  }

  async #submitBatch({ planned, batch }: Prepared, signal: AbortSignal): Promise<SubmittedBatch> {
    const { queue, warn } = this.#surroundings
    await this.#pace.take(signal)
    try {
      return await queue.submit(`${batch.directory}/script`, batch, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof EnvironmentError || error instanceof SchedulerOutputError)) throw error
      warn(`${queue.name}: a submission gave no clear answer, the queue is asked for it: ${error.message}`)
      const nativeIds = await this.#search(planned, signal)
      if (nativeIds !== undefined) return { kind: 'accepted', nativeIds }
      for (const { id } of planned.requests) this.#stillDoubtful.add(id)
      return { kind: 'deferred', reason: error.message }
    }
  }

  async #search(
    { name, requests }: PlannedBatch,
    signal: AbortSignal,
  ): Promise<readonly string[] | undefined> {
    for (const waitMs of searchesMs) {
      await delay(waitMs, undefined, { signal })
      const listed = await listedJobs(this.#surroundings.queue, signal)
      if (listed.hasBatch(name))
        return requests.map((_, index) => listed.nativeIdsOf({ batch: name, index })[0] ?? '')
    }
    return undefined
  }

  #settle(planned: PlannedBatch, result: SubmittedBatch, outcomes: Map<JobId, SubmitOutcome>): void {
    const now = this.#surroundings.now()
    for (const [index, { id }] of planned.requests.entries()) {
      if (outcomes.has(id)) continue
      if (result.kind !== 'accepted') outcomes.set(id, { kind: result.kind, reason: result.reason })
      else {
        const place: JobPlace = { id, key: planned.key }
        const nativeId = result.nativeIds[index] ?? ''
        this.#accept(handleOf({ place, batch: planned.name, index, nativeId }, now), outcomes)
      }
    }
  }

  #accept(handle: JobHandle, outcomes: Map<JobId, SubmitOutcome>): void {
    const position = readHandle(handle)
    if (position === undefined) return
    this.#jobs.set(handle.id, {
      ...position,
      handle,
      missingSince: undefined,
      isProven: true,
      isListed: true,
      hasEnded: false,
    })
    outcomes.set(handle.id, { kind: 'accepted', handle })
  }

  /** Keeps the native ids beside the jobs, and deletes what was prepared in vain. The jobs themselves are safe. */
  async #tidy({ made, outcomes, written, signal }: Round): Promise<void> {
    const { files, warn, queue } = this.#surroundings
    const inVain = made.flatMap(({ planned: { key, requests } }) =>
      requests.flatMap(({ id }) =>
        outcomes.get(id)?.kind === 'accepted' || this.#doubtful.has(id) ? [] : [{ id, key }],
      ),
    )
    try {
      if (written.length > 0) await files.write(written, signal)
      if (inVain.length > 0) await files.remove(inVain, signal)
    } catch (error) {
      if (!signal.aborted) warn(`${queue.name}: ${messageOf(error)}`)
    }
  }
}

interface Prepared {
  readonly planned: PlannedBatch
  readonly batch: Batch
}

/** One call to submit, on its way. */
interface Round {
  readonly base: string
  readonly outcomes: Map<JobId, SubmitOutcome>
  readonly made: Prepared[]
  /** To be written in the end. */
  readonly written: HostFile[]
  /** A batch that was refused for good, of which one job is tried alone. */
  trial: PlannedBatch | undefined
  readonly signal: AbortSignal
}

function batchOf(planned: PlannedBatch, base: string): Batch {
  const directory = `${base}/${batchPath(planned)}`
  const { name, resources, requests } = planned
  return { name, size: requests.length, resources, directory, logPath: `${directory}/log` }
}
