import type { JobHandle, JobId, Observation } from '../environment.ts'
import type { JobFiles } from '../job-files/job-files.ts'
import { isKey, type JobPlace } from '../job-files/places.ts'
import { cancelled, observationOfEnd, observationOfMark } from './observation.ts'
import type { Demand, QueuedJob, RunnerNews, Workers } from './workers.ts'

interface KnownJob {
  readonly place: JobPlace
  readonly slots: number
  observation: Observation
  /** Whether every change since is told by the runner. */
  isSure: boolean
}

/** Jobs that have begun and did not end, with whether they were asked to. */
export type StartedJobs = ReadonlyMap<JobPlace, { readonly isCancelled: boolean }>

/** What is known of the jobs of one queue on a host, from their files there and from the news of its runner. */
export class KnownJobs {
  readonly #files: JobFiles
  readonly #hostName: string
  readonly #jobs = new Map<JobId, KnownJob>()
  /** Ids of the jobs of which news came while somebody looked: what was seen may be old. */
  readonly #looks = new Set<Set<string>>()
  #isHeard = false
  #begun = 0

  constructor(files: JobFiles, hostName: string) {
    this.#files = files
    this.#hostName = hostName
  }

  has(id: JobId): boolean {
    return this.#jobs.has(id)
  }

  observationOf(id: JobId): Observation | undefined {
    return this.#jobs.get(id)?.observation
  }

  /** What waits and what runs, in slots. */
  get demand(): Demand {
    let waiting = 0
    let running = 0
    for (const { observation, slots } of this.#jobs.values())
      if (observation.kind === 'queued') waiting += slots
      else if (observation.kind === 'running') running += slots
    return { waiting, running, begun: this.#begun }
  }

  /** Those of these that are not known to be over. */
  underWay(handles: readonly JobHandle[]): readonly JobPlace[] {
    return handles.flatMap((handle) => (this.#isOver(handle.id) ? [] : (placeOfHandle(handle) ?? [])))
  }

  /** Those of these of which the runner tells not all. */
  unsure(places: readonly JobPlace[]): readonly JobPlace[] {
    return places.filter(({ id }) => !(this.#isHeard && this.#jobs.get(id)?.isSure === true))
  }

  ofExecution(key: string): readonly JobPlace[] {
    return [...this.#jobs.values()].flatMap(({ place }) => (place.key === key ? [place] : []))
  }

  /** Jobs that wait from now on. */
  queued(jobs: readonly QueuedJob[]): void {
    for (const { place, slots } of jobs)
      this.#jobs.set(place.id, { place, slots, observation: { kind: 'queued' }, isSure: this.#isHeard })
  }

  forget(ids: readonly JobId[]): void {
    for (const id of ids) this.#jobs.delete(id)
  }

  /** From now on it counts again what files say of these. */
  doubt(places: readonly JobPlace[]): void {
    for (const { id } of places) {
      const known = this.#jobs.get(id)
      if (known !== undefined) known.isSure = false
    }
  }

  /** Reads the files of jobs on the host. */
  async look(places: readonly JobPlace[], signal: AbortSignal): Promise<StartedJobs> {
    const started = new Map<JobPlace, { readonly isCancelled: boolean }>()
    if (places.length === 0) return started
    const isHeard = this.#isHeard
    const told = new Set<string>()
    this.#looks.add(told)
    const marks = await this.#files.look(places, signal).finally(() => this.#looks.delete(told))
    for (const place of places) {
      const mark = marks.get(place.id)
      const known = this.#jobs.get(place.id)
      if (mark === undefined || this.#isOver(place.id)) continue
      const observation = observationOfMark(mark)
      if (mark.kind === 'started') started.set(place, mark)
      if (observation === undefined) this.#jobs.delete(place.id)
      else {
        if (observation.kind !== 'queued' && known?.observation.kind === 'queued') this.#begun += 1
        this.#jobs.set(place.id, {
          place,
          slots: known?.slots ?? 1,
          observation,
          isSure: isHeard && this.#isHeard && !told.has(place.id),
        })
      }
    }
    return started
  }

  /** Jobs whose worker is gone have ended: nobody can tell any more how. */
  async giveUp(started: StartedJobs, workers: Workers, signal: AbortSignal): Promise<void> {
    if (workers.abandoned === undefined || started.size === 0) return
    const abandoned = await workers.abandoned([...started.keys()], signal)
    for (const [place, { isCancelled }] of started) {
      const known = this.#jobs.get(place.id)
      const message = abandoned.get(place.id)
      if (known === undefined || message === undefined) continue
      known.observation = isCancelled ? cancelled : { kind: 'stopped', cause: 'node-failure', message }
    }
  }

  /** From now on news are heard. Gives the jobs of which some may have been missed before. */
  beginHearing(): readonly JobId[] {
    this.#isHeard = true
    return [...this.#jobs.keys()].filter((id) => !this.#isOver(id))
  }

  /** From now on there are no news: only files tell. */
  endHearing(): void {
    this.#isHeard = false
    for (const job of this.#jobs.values()) job.isSure = false
  }

  /** Takes news of the runner. Gives the jobs that they speak of. */
  hear(news: readonly RunnerNews[]): readonly JobId[] {
    const changed: JobId[] = []
    for (const each of news) {
      const id = each.id as JobId
      for (const told of this.#looks) told.add(id)
      const known = this.#jobs.get(id)
      if (known === undefined || this.#isOver(id)) continue
      if (each.kind === 'started') known.observation = { kind: 'running', host: this.#hostName }
      // Whether it was cancelled is told by its directory.
      else if (each.end.kind === 'exited' && each.end.exitCode === 0)
        known.observation = observationOfEnd(each.end, false)
      else known.isSure = false
      changed.push(id)
    }
    return changed
  }

  #isOver(id: JobId): boolean {
    const kind = this.#jobs.get(id)?.observation.kind
    return kind === 'exited' || kind === 'stopped' || kind === 'lost'
  }
}

/** Where the files of a job lie; undefined where the handle is none of this kind of environment. */
export function placeOfHandle({ id, state }: JobHandle): JobPlace | undefined {
  return isKey(state.key) ? { id, key: state.key } : undefined
}
