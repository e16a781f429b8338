import { setTimeout as pause } from 'node:timers/promises'
import { EnvironmentError, type JobId } from '../../src/environment/environment.ts'
import { FileChangedError } from '../../src/environment/job-files/tar-stream.ts'
import type { WorkTrees } from '../../src/environment/job-files/work-trees.ts'
import { ApiError } from './api-errors.ts'
import { backOffMs } from './clock.ts'
import type { Cluster } from './cluster.ts'
import type { KeptRequests } from './kept-requests.ts'
import type { KubernetesOptions } from './options.ts'
import { notUnpacked } from './staging.ts'
import { deliveryOf } from './pilot-delivery.ts'
import type { PilotMode } from './pilot-body.ts'
import type { PilotFleet } from './pilot-fleet.ts'
import type { PilotJob, PilotJobs } from './pilot-jobs.ts'
import { PilotLink } from './pilot-link.ts'
import type { PilotNews } from './pilot-news.ts'
import type { PilotEnd, PilotPod } from './pilot-state.ts'

export interface WorkParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions
  readonly pilots: PilotMode
  readonly jobs: PilotJobs
  readonly fleet: PilotFleet
  readonly requests: KeptRequests
  readonly trees: WorkTrees
  readonly newMark: () => string
  readonly now: () => number
  readonly warn: (message: string) => void
}

/** Time passes for pilots that wait, also where nothing is told. */
const lookMs = 2000
/** What a pilot gets beyond its slots is enough for so long, by the mean of the jobs so far. */
const aheadMs = 5000
const mostAtOnce = 100
/** How often files are brought that change while they are read, or for which the pilot has no room. */
const mostTries = 5

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
  /** Jobs that were there for sure when a pilot began to tell what it has, and those that it has. */
  readonly #lists = new Map<
    PilotLink,
    { readonly before: ReadonlySet<JobId>; readonly present: Set<JobId> }
  >()
  /** UIDs of pods of which it is known that they are over. */
  readonly #buried = new Set<string>()
  readonly #tasks = new Set<Promise<unknown>>()
  #timer: NodeJS.Timeout | undefined
  #isDue = false
  #begunBefore = 0

  constructor(parts: WorkParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
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
      told: (from, news) => this.#hear(from, news),
    })
    this.#links.set(pod.uid, link)
    return link
  }

  /** Its pod is gone: what it had is too. */
  #bury(uid: string, end: PilotEnd): void {
    const link = this.#links.get(uid)
    if (link !== undefined) {
      this.#links.delete(uid)
      this.#lists.delete(link)
      this.#own(link.end())
    }
    if (this.#buried.has(uid) && link === undefined) return
    this.#buried.add(uid)
    this.#parts.jobs.gone(uid, end)
  }

  #hear(link: PilotLink, news: PilotNews): void {
    const { jobs } = this.#parts
    const { uid, host } = link.pod
    const list = this.#lists.get(link)
    if ('id' in news) list?.present.add(news.id)
    switch (news.kind) {
      case 'begin': {
        const there = jobs.of(uid).filter(({ stage }) => stage !== 'going')
        this.#lists.set(link, { before: new Set(there.map(({ id }) => id)), present: new Set() })
        return
      }
      case 'waiting':
        if (jobs.get(news.id)?.stage === 'unheard') jobs.arrived(news.id, uid)
        return
      case 'started':
        jobs.started(news.id, uid, host)
        break
      case 'ended':
        jobs.ended(news.id, uid, news.end, host)
        break
      case 'cancelled':
        jobs.ended(news.id, uid, 'cancelled', host)
        break
      case 'refused':
        link.refused.add(jobs.get(news.id)?.seconds ?? 0)
        if (jobs.get(news.id)?.pilot === uid) jobs.back(news.id)
        break
      case 'listed':
        if (list !== undefined) this.#listed(link, list.before, list.present)
        break
      case 'content':
      case 'closed':
        break
    }
    if (link.isClosed && link.isListed)
      for (const { id, stage } of jobs.of(uid).toReversed()) if (stage === 'there') jobs.back(id)
    this.look()
  }

  /** What the pilot does not have any more, or never had. */
  #listed(link: PilotLink, before: ReadonlySet<JobId>, present: ReadonlySet<JobId>): void {
    const { jobs } = this.#parts
    this.#lists.delete(link)
    for (const { id, stage } of jobs.of(link.pod.uid).toReversed()) {
      if (present.has(id) || !before.has(id)) continue
      if (stage === 'there' || stage === 'unheard') jobs.back(id)
      else if (stage === 'running')
        jobs.stop(id, {
          kind: 'stopped',
          cause: 'node-failure',
          message: 'Its directory in the pilot is gone.',
        })
    }
    // Of jobs that were released while nobody could be told.
    const unknown = [...present].filter((id) => jobs.get(id)?.pilot !== link.pod.uid)
    if (unknown.length > 0) link.release(unknown)
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
      this.#bring(link, ids).finally(() => {
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

  async #bring(link: PilotLink, ids: readonly JobId[]): Promise<void> {
    const { jobs, requests, trees, options, newMark } = this.#parts
    const { uid, name: pod } = link.pod
    const isGoing = (id: JobId): boolean => jobs.get(id)?.pilot === uid && jobs.get(id)?.stage === 'going'
    const name = newMark().toLowerCase()
    await Promise.all(ids.map((id) => requests.serve(id, `${uid} ${pod}`)))
    for (let failures = 0; ;) {
      const going = ids.filter(isGoing)
      const sent = going.flatMap((id) => {
        const request = requests.read(id)
        return request === undefined ? [] : [{ request, slots: jobs.get(id)?.slots ?? 1 }]
      })
      if (sent.length === 0 || link.signal.aborted) return
      try {
        const delivery = await deliveryOf(
          sent,
          { has: (hash) => link.has(hash), trees, options },
          this.#signal,
        )
        for (const [id, message] of delivery.unreadable)
          jobs.stop(id, { kind: 'stopped', cause: 'unknown', message })
        if (delivery.unreadable.size === sent.length) return
        link.use(delivery.contents)
        const isTaken = await link.deliver(delivery, name)
        if (isTaken) {
          link.keep(delivery.contents)
          for (const id of going) jobs.arrived(id, uid)
        } else {
          link.isClosed = true
          // An earlier try may have arrived: its list tells.
          for (const id of going.toReversed())
            if (failures === 0) jobs.back(id)
            else jobs.arrived(id, uid)
          if (failures > 0) link.relist()
        }
        break
      } catch (error) {
        if (this.#signal.aborted || link.signal.aborted) return
        failures += 1
        const isOfCluster = error instanceof ApiError || error instanceof EnvironmentError
        if (!isOfCluster || error instanceof FileChangedError) trees.forgetAll()
        const isOurs = !isOfCluster || (error instanceof ApiError && error.reason === notUnpacked)
        if (isOurs && failures >= mostTries) {
          const message = `Its files could not be brought in ${mostTries} tries: ${messageOf(error)}`
          for (const id of going) jobs.stop(id, { kind: 'stopped', cause: 'unknown', message })
          link.release(going)
          return
        }
        if (failures === 2)
          this.#parts.warn(`Files of jobs did not come to the pod ${pod}: ${messageOf(error)}`)
        await pause(backOffMs(failures), undefined, { signal: link.signal }).catch(() => undefined)
      }
    }
    const late = ids.filter((id) => jobs.get(id)?.isCancelled === true)
    if (late.length > 0) await link.cancel(late, link.signal)
    const released = ids.filter((id) => jobs.get(id) === undefined)
    if (released.length > 0) link.release(released)
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
