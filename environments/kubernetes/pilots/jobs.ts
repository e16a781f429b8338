import type { JobId, JobRequest, Observation } from '../../../src/environment/environment.ts'
import { cancelled, observationOfEnd } from '../../../src/environment/runner/observation.ts'
import type { JobEnd } from '../../../src/environment/job-files/job-script.ts'
import type { PilotEnd } from './state.ts'

/** Where a job of the environment is. */
export type JobStage =
  | 'waiting'
  /** It is being brought to a pilot. */
  | 'going'
  /** It waits in a pilot. */
  | 'there'
  | 'running'
  /** It went to a pilot in an earlier life of the server. */
  | 'unheard'
  | 'over'

export interface PilotJob {
  readonly id: JobId
  readonly slots: number
  /** 0 where it does not say. */
  readonly seconds: number
  readonly stage: JobStage
  /** UID of the pod that has it, or had it when it ended. */
  readonly pilot: string | undefined
  readonly observation: Observation
  readonly isCancelled: boolean
}

type Known = { -readonly [Name in keyof PilotJob]: PilotJob[Name] } & { startedAt?: number }

/** How much the last job counts in the mean. */
const weight = 0.2

/** The jobs of an environment, each waiting, on a pilot or over. */
export class PilotJobs {
  readonly #now: () => number
  readonly #changed: (ids: readonly JobId[]) => void
  readonly #jobs = new Map<JobId, Known>()
  readonly #waiting = new Map<JobId, Known>()
  readonly #onPilot = new Map<string, Map<JobId, Known>>()
  #meanMs: number | undefined
  #begun = 0

  constructor(changed: (ids: readonly JobId[]) => void, now: () => number) {
    this.#changed = changed
    this.#now = now
  }

  /** A job that waits; or one of an earlier life that went to the pilot, or was cancelled before. */
  add(request: JobRequest, slots: number, fate?: { readonly pilot: string } | 'cancelled'): void {
    const seconds = Math.ceil((request.resources.wallTimeMs ?? 0) / 1000)
    const { id } = request
    const known: Known = {
      id,
      slots,
      seconds,
      stage: 'waiting',
      pilot: undefined,
      observation: { kind: 'queued' },
      isCancelled: false,
    }
    this.#jobs.set(id, known)
    if (fate === 'cancelled') this.#end(known, cancelled)
    else if (fate === undefined) this.#waiting.set(id, known)
    else {
      this.#put(known, fate.pilot, 'unheard')
      known.observation = { kind: 'running' }
    }
  }

  get(id: JobId): PilotJob | undefined {
    return this.#jobs.get(id)
  }

  get waiting(): Iterable<PilotJob> {
    return this.#waiting.values()
  }

  get waitingSlots(): number {
    let slots = 0
    for (const job of this.#waiting.values()) slots += job.slots
    return slots
  }

  /** Whether there is something to do for pilots. */
  get isBusy(): boolean {
    return [...this.#jobs.values()].some(({ stage }) => stage !== 'over')
  }

  /** How long jobs run on average; undefined as long as none has. */
  get meanMs(): number | undefined {
    return this.#meanMs
  }

  /** How many jobs have begun in this life. */
  get begun(): number {
    return this.#begun
  }

  /** Those that a pilot has, those that have ended there and are not released among them. */
  of(pilot: string): readonly PilotJob[] {
    return [...(this.#onPilot.get(pilot)?.values() ?? [])]
  }

  pilots(): readonly string[] {
    return [...this.#onPilot.keys()]
  }

  go(id: JobId, pilot: string): void {
    const job = this.#jobs.get(id)
    if (job !== undefined) this.#put(job, pilot, 'going')
  }

  arrived(id: JobId, pilot: string): void {
    const job = this.#jobs.get(id)
    // It may have begun before anybody could tell that it has come.
    if (job?.pilot === pilot && (job.stage === 'going' || job.stage === 'unheard')) {
      job.stage = 'there'
      this.#tell(job, { kind: 'queued' })
    }
  }

  /** It waits again, before those that came later. */
  back(id: JobId): void {
    const job = this.#jobs.get(id)
    if (job === undefined || job.stage === 'over') return
    this.#take(job)
    if (job.isCancelled) {
      this.#end(job, cancelled)
      return
    }
    job.stage = 'waiting'
    const others = [...this.#waiting]
    this.#waiting.clear()
    this.#waiting.set(id, job)
    for (const [other, waiting] of others) this.#waiting.set(other, waiting)
    this.#tell(job, { kind: 'queued' })
  }

  started(id: JobId, pilot: string, host: string | undefined): void {
    const job = this.#on(id, pilot)
    if (job === undefined || job.stage === 'running') return
    job.stage = 'running'
    job.startedAt = this.#now()
    this.#begun += 1
    this.#tell(job, { kind: 'running', ...(host !== undefined && { host }) })
  }

  ended(id: JobId, pilot: string, end: JobEnd | 'cancelled', host: string | undefined): void {
    const job = this.#on(id, pilot)
    if (job === undefined) return
    if (job.startedAt !== undefined) {
      const ranMs = this.#now() - job.startedAt
      this.#meanMs = this.#meanMs === undefined ? ranMs : this.#meanMs + weight * (ranMs - this.#meanMs)
    }
    if (job.stage !== 'running') this.#begun += 1
    this.#end(job, end === 'cancelled' ? cancelled : observationOfEnd(end, false, host))
  }

  /** It was asked to end. */
  cancel(id: JobId): void {
    const job = this.#jobs.get(id)
    if (job === undefined || job.stage === 'over') return
    job.isCancelled = true
    if (job.stage === 'waiting') this.#end(job, cancelled)
  }

  stop(id: JobId, observation: Observation): void {
    const job = this.#jobs.get(id)
    if (job !== undefined && job.stage !== 'over') this.#end(job, job.isCancelled ? cancelled : observation)
  }

  /** What the pilot takes along: what runs has ended, and what did not begin waits again. */
  gone(pilot: string, end: PilotEnd): void {
    const jobs = this.of(pilot)
    const isAlone = jobs.filter(({ stage }) => stage === 'running').length === 1
    const cause = end.cause === 'out-of-memory' && !isAlone ? 'node-failure' : end.cause
    for (const { id, stage } of jobs.toReversed())
      if (stage === 'running' || stage === 'unheard')
        this.stop(id, { kind: 'stopped', cause, message: end.message })
      else if (stage !== 'over') this.back(id)
  }

  forget(id: JobId): void {
    const job = this.#jobs.get(id)
    if (job === undefined) return
    this.#take(job)
    this.#jobs.delete(id)
  }

  #on(id: JobId, pilot: string): Known | undefined {
    const job = this.#jobs.get(id)
    return job?.pilot === pilot && job.stage !== 'over' ? job : undefined
  }

  #put(job: Known, pilot: string, stage: JobStage): void {
    this.#take(job)
    job.pilot = pilot
    job.stage = stage
    const jobs = this.#onPilot.get(pilot)
    if (jobs === undefined) this.#onPilot.set(pilot, new Map([[job.id, job]]))
    else jobs.set(job.id, job)
  }

  #take(job: Known): void {
    this.#waiting.delete(job.id)
    if (job.pilot === undefined) return
    const jobs = this.#onPilot.get(job.pilot)
    jobs?.delete(job.id)
    if (jobs?.size === 0) this.#onPilot.delete(job.pilot)
    job.pilot = undefined
  }

  #end(job: Known, observation: Observation): void {
    // Its pilot still has its files.
    this.#waiting.delete(job.id)
    job.stage = 'over'
    this.#tell(job, observation)
  }

  #tell(job: Known, observation: Observation): void {
    job.observation = observation
    this.#changed([job.id])
  }
}
