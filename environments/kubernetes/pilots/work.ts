import { EnvironmentError } from '../../../src/environment/environment.ts'
import { ApiError } from '../cluster/api-errors.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { messageOf } from '../../../src/problem.ts'
import type { PilotMode } from './body.ts'
import { bringJobs, type BringParts } from './bring-jobs.ts'
import type { PilotFleet } from './fleet.ts'
import { Hearing } from './hearing.ts'
import type { PilotJob, PilotJobs } from './jobs.ts'
import { PilotLink } from './link.ts'
import type { PilotEnd, PilotPod } from './state.ts'

export interface WorkParts extends BringParts {
  readonly cluster: Cluster
  readonly pilots: PilotMode
  readonly jobs: PilotJobs
  readonly fleet: PilotFleet
  readonly now: () => number
}

/** Time passes for pilots that wait, also where nothing is told. */
const lookMs = 2000
/** What a pilot gets beyond its slots is enough for so long, by the mean of the jobs so far. */
const aheadMs = 5000
const mostAtOnce = 100

const goneUnseen: PilotEnd = {
  cause: 'preempted',
  message: 'The pilot that ran it is gone: it was deleted from outside, or with its node.',
  refusal: undefined,
  isFailure: false,
}

/** Brings jobs that wait to pilots that have room, has pilots made, and takes what pilots say. */
export class PilotWork {
  readonly #parts: WorkParts
  readonly #signal: AbortSignal
  readonly #links = new Map<string, PilotLink>()
  readonly #hearing: Hearing
  /** UIDs of pods of which it is known that they are over. */
  readonly #buried = new Set<string>()
  readonly #tasks = new Set<Promise<unknown>>()
  #timer: NodeJS.Timeout | undefined
  #isDue = false
  #begunBefore = 0

  constructor(parts: WorkParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
    this.#hearing = new Hearing(parts.jobs)
  }

  begin(): void {
    this.#timer ??= setInterval(() => this.look(), lookMs).unref()
    this.look()
  }

  /** Looks soon what there is to do. */
  look(): void {
    if (this.#isDue || this.#signal.aborted) return
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      if (!this.#signal.aborted) this.#own(this.#work())
    })
  }

  linkOf(job: PilotJob | undefined): PilotLink | undefined {
    return job?.pilot === undefined ? undefined : this.#links.get(job.pilot)
  }

  get links(): Iterable<PilotLink> {
    return this.#links.values()
  }

  async ended(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all([...this.#links.values()].map((link) => link.end()))
    await Promise.all(this.#tasks)
  }

  /** Deletes what pilots have for this execution alone. One that is being brought something keeps it until its end. */
  async drop(key: string, signal: AbortSignal): Promise<void> {
    for (const link of this.#links.values()) {
      if (link.isBringing) continue
      // Nobody may count on what is on its way out.
      link.isBringing = true
      try {
        await link.flush(signal)
        await link.drop(key, signal)
      } catch (error) {
        signal.throwIfAborted()
        // All that it has goes with it soon.
        if (!link.isClosed && !link.signal.aborted) throw error
      } finally {
        link.isBringing = false
        this.look()
      }
    }
  }

  /** What waits and finds no room in the pilots that there are, in slots; what finds some is on its way after this. */
  handOut(): number {
    const { fleet, jobs, pilots } = this.#parts
    if (!fleet.isListed) return 0
    this.#settle()
    let coming = 0
    for (const link of this.#links.values()) {
      this.#hand(link)
      if (!link.isClosed && (link.isBringing || !link.isListed))
        coming += Math.max(0, pilots.slots - this.#taken(link))
    }
    return Math.max(0, jobs.waitingSlots - coming)
  }

  async #work(): Promise<void> {
    const missing = this.handOut()
    if (missing === 0) return
    const refusal = await this.#parts.fleet.ensure(missing, this.#signal)
    if (refusal !== undefined) this.refuse(refusal)
  }

  #taken(link: PilotLink): number {
    const jobs = this.#parts.jobs.of(link.pod.uid)
    return jobs.reduce((sum, { stage, slots }) => sum + (stage === 'over' ? 0 : slots), 0)
  }

  /** No pilot can be had for what waits. */
  refuse(message: string): void {
    for (const { id } of this.#parts.jobs.waiting)
      this.#parts.jobs.stop(id, {
        kind: 'stopped',
        cause: 'unknown',
        message: `No pilot can start. ${message}`,
      })
  }

  /** Compares the pilots that there are with those that were known. */
  #settle(): void {
    const { fleet, jobs } = this.#parts
    if (jobs.begun !== this.#begunBefore) {
      this.#begunBefore = jobs.begun
      fleet.succeeded()
    }
    const present = new Set<string>()
    const pilots = fleet.pilots()
    const isAnyOpen = pilots.some(({ state }) => state.kind === 'open')
    for (const { name, state } of pilots) {
      if (state.kind === 'starting') continue
      if (state.kind === 'gone') {
        const hasServed = state.uid !== undefined && this.#links.has(state.uid)
        if (state.uid !== undefined) this.#bury(state.uid, state.end)
        if (state.end.isFailure && !hasServed) this.#failed(state.end, isAnyOpen)
        this.#own(fleet.delete(name, this.#signal))
        continue
      }
      const { uid } = state.pod
      present.add(uid)
      const link = this.#links.get(uid) ?? this.#open(state.pod)
      if (state.kind !== 'closing') continue
      if (!link.isOver) {
        link.isOver = true
        link.isClosed = true
        link.relist()
      } else if (link.isListed && !link.isBringing) {
        jobs.gone(uid, state.end)
        if (jobs.of(uid).length === 0 && !link.isNeeded) {
          if (state.end.refusal !== undefined) this.#failed(state.end, isAnyOpen)
          this.#own(fleet.delete(name, this.#signal))
          this.#bury(uid, state.end)
        }
      }
    }
    for (const uid of [...this.#links.keys(), ...jobs.pilots()])
      if (!present.has(uid)) this.#bury(uid, goneUnseen)
  }

  #failed({ refusal }: PilotEnd, isAnyOpen: boolean): void {
    this.#parts.fleet.failed(refusal)
    if (refusal !== undefined && !isAnyOpen) this.refuse(refusal)
  }

  #open(pod: PilotPod): PilotLink {
    const { cluster, newMark, now, warn } = this.#parts
    const link = new PilotLink(pod, {
      cluster,
      newMark,
      now,
      warn,
      told: (from, news) => {
        if (this.#hearing.hear(from, news)) this.look()
      },
    })
    this.#links.set(pod.uid, link)
    return link
  }

  /** Its pod is gone: what it had is too. */
  #bury(uid: string, end: PilotEnd): void {
    const link = this.#links.get(uid)
    if (link !== undefined) {
      this.#links.delete(uid)
      this.#hearing.forget(link)
      this.#own(link.end())
    }
    if (this.#buried.has(uid) && link === undefined) return
    this.#buried.add(uid)
    this.#parts.jobs.gone(uid, end)
  }

  /** Gives a pilot what it has room for. */
  #hand(link: PilotLink): void {
    if (!link.isListed || link.isClosed || link.isBringing || this.#signal.aborted) return
    const chosen = this.#choose(link)
    if (chosen.length === 0) return
    const { uid } = link.pod
    link.isBringing = true
    for (const { id } of chosen) this.#parts.jobs.go(id, uid)
    const ids = chosen.map(({ id }) => id)
    this.#own(
      bringJobs(this.#parts, link, ids, this.#signal).finally(() => {
        link.isBringing = false
        this.look()
      }),
    )
  }

  #choose(link: PilotLink): readonly PilotJob[] {
    const { jobs, pilots } = this.#parts
    const taken = this.#taken(link)
    const ahead =
      jobs.meanMs === undefined ? 0 : Math.floor((pilots.slots * aheadMs) / Math.max(50, jobs.meanMs))
    // What is left is shared out, less each time, so that pilots come to an end together.
    const share = Math.ceil(jobs.waitingSlots / (2 * pilots.count))
    const room = Math.max(pilots.slots - taken, Math.min(pilots.slots + ahead - taken, share))
    const chosen: PilotJob[] = []
    let left = room
    for (const job of jobs.waiting) {
      if (left <= 0 || chosen.length >= mostAtOnce) break
      if (isRefused(link, job)) continue
      // A job that needs more waits in the pilot until it has it, and nothing passes it.
      if (job.slots > left && chosen.length > 0) break
      chosen.push(job)
      left -= job.slots
    }
    return chosen
  }

  #own(task: Promise<unknown>): void {
    const owned = task
      .catch((error: unknown) => {
        if (!this.#signal.aborted && !(error instanceof EnvironmentError) && !(error instanceof ApiError))
          this.#parts.warn(`Pilots cannot be looked after just now: ${messageOf(error)}`)
      })
      .finally(() => this.#tasks.delete(owned))
    this.#tasks.add(owned)
  }
}

/** Whether the pilot has no time for it, by what it has refused. */
function isRefused({ refused }: PilotLink, { seconds }: PilotJob): boolean {
  return seconds === 0 ? refused.has(0) : [...refused].some((each) => each > 0 && seconds >= each)
}
