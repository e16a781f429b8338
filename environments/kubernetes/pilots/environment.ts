import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  EnvironmentError,
  type Capabilities,
  type CheckFinding,
  type CollectedFiles,
  type Environment,
  type JobHandle,
  type JobId,
  type JobRequest,
  type Observation,
  type Resources,
  type SubmitOutcome,
} from '../../../src/environment/environment.ts'
import { longestJob, pilotTimes, type PilotTimes } from '../../../src/environment/batch/pilot-script.ts'
import { ensureLogs, freshLogs } from '../../../src/environment/job-files/logs.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { refusalOf } from '../../../src/environment/refusal.ts'
import { askCluster } from '../cluster/ask-cluster.ts'
import { inspectCluster } from '../check.ts'
import { warningOfDropped } from '../cluster/dropped-fields.ts'
import { eachBounded } from '../cluster/each-bounded.ts'
import type { KubernetesEnvironmentParts } from '../environment.ts'
import { KeptRequests } from '../pods/kept-requests.ts'
import { withDefaults } from '../pods/submit-job.ts'
import type { WireJob } from '../cluster/wire.ts'
import type { PilotMode } from './body.ts'
import { PilotFleet } from './fleet.ts'
import { PilotJobs, type PilotJob } from './jobs.ts'
import type { PilotLink } from './link.ts'
import { PilotWork } from './work.ts'

/** Memory is that of each of a job's processes. */
const honoured = ['cpus', 'memoryBytes', 'wallTimeMs'] as const
const mostCalls = 8
const closeMs = 5000
/** How long the first look of a life of the server waits for what pilots have to say. */
const firstLookMs = 5000
const firstLookPollMs = 50

/** A namespace of a Kubernetes cluster whose pods run many jobs each: a Job for each pilot, none for a job. */
export class PilotEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #parts: KubernetesEnvironmentParts
  readonly #pilots: PilotMode
  readonly #times: PilotTimes
  readonly #requests: KeptRequests
  readonly #stop = new AbortController()
  readonly #jobs: PilotJobs
  readonly #fleet: PilotFleet
  readonly #work: PilotWork
  readonly #trees = new WorkTrees()
  readonly #watchers = new Set<(ids: readonly JobId[]) => void>()
  #hasCompared = false
  #hasListened = false

  /** Throws EnvironmentError where pilots would have no time for any job. */
  constructor(name: string, parts: KubernetesEnvironmentParts, pilots: PilotMode) {
    this.name = name
    this.#parts = parts
    this.#pilots = pilots
    const { cluster, options, instance, newMark, now, warn } = parts
    const times = pilotTimes(pilots.time, pilots.idleMs, options.stopGraceMs)
    if (times === undefined)
      throw new EnvironmentError(
        `Pilots of ${pilots.time / 1000} s (pilots.time) have no time for jobs: expected more than stopGraceMs, which is ${options.stopGraceMs}.`,
      )
    this.#times = times
    // Apart from those of jobs with pods of their own, should there be such from before.
    this.#requests = new KeptRequests(join(parts.directory, 'pilots'))
    this.capabilities = {
      survivesRestart: true,
      sharedFileSystem: false,
      watch: true,
      resources: honoured,
      maxJobsPerSubmit: 500,
      maxActiveJobs: options.maxActiveJobs,
      slots: pilots.count * pilots.slots,
      ...(options.lostAfter !== undefined && { lostAfterOutageMs: options.lostAfter }),
      pollInterval: { minMs: 2000, maxMs: 30_000, stepMs: 2000 },
    }
    const { signal } = this.#stop
    this.#jobs = new PilotJobs((ids) => this.#tell(ids), now)
    const made = (sent: WireJob, kept: WireJob) => this.#tellOfDropped(sent, kept)
    const common = { cluster, options, pilots, newMark, now, warn }
    this.#fleet = new PilotFleet({ ...common, times, instance, made }, () => this.#work.look(), signal)
    this.#work = new PilotWork(
      { ...common, jobs: this.#jobs, fleet: this.#fleet, requests: this.#requests, trees: this.#trees },
      signal,
    )
    this.#remember()
  }

  async check(signal: AbortSignal): Promise<void> {
    const bad = (await this.inspect(signal)).find(({ isGood }) => !isGood)
    if (bad !== undefined) throw new EnvironmentError([bad.message, bad.fix].filter(Boolean).join(' '))
  }

  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    return inspectCluster(this.#parts.cluster, {}, signal)
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const outcomes = new Map<JobId, SubmitOutcome>()
    const fresh: { readonly request: JobRequest; readonly slots: number }[] = []
    for (const request of requests) {
      const slots = refusalOf(request, honoured) ?? this.#plan(request.resources)
      if (this.#jobs.get(request.id) !== undefined) outcomes.set(request.id, accepted(request.id))
      else if (typeof slots === 'string') outcomes.set(request.id, { kind: 'rejected', reason: slots })
      else
        fresh.push({
          request: { ...request, resources: withDefaults(request.resources, this.#parts.options) },
          slots,
        })
    }
    if (fresh.length === 0) return outcomes
    await this.#begin(signal)
    await eachBounded(fresh, mostCalls, ({ request }) => this.#requests.keep(request))
    for (const { request, slots } of fresh) {
      this.#jobs.add(request, slots)
      outcomes.set(request.id, accepted(request.id))
    }
    const refusal = await askCluster(() => this.#fleet.ensure(this.#work.handOut(), this.#stop.signal))
    if (refusal === undefined) return outcomes
    for (const { request } of fresh) {
      this.#forget(request.id)
      outcomes.set(request.id, { kind: 'rejected', reason: `No pilot can start. ${refusal}` })
    }
    return outcomes
  }

  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await this.#begin(signal)
    const { error } = this.#fleet
    if (error !== undefined) await askCluster(() => Promise.reject(error))
    await this.#listen(handles, signal)
    const { reason } = this.#fleet
    const waits: Observation = { kind: 'queued', ...(reason !== undefined && { reason }) }
    return new Map(handles.map(({ id }) => [id, observationOf(this.#jobs.get(id), waits)]))
  }

  async cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await this.#begin(signal)
    const onPilots = new Map<PilotLink, JobId[]>()
    for (const { id } of handles) {
      const job = this.#jobs.get(id)
      if (job === undefined || job.stage === 'over') continue
      if (job.stage === 'waiting') await this.#requests.serve(id, cancelledMark)
      this.#jobs.cancel(id)
      const link = this.#work.linkOf(job)
      // One that is on its way is told of it when it has come.
      if (link !== undefined && job.stage !== 'going') onPilots.set(link, [...(onPilots.get(link) ?? []), id])
    }
    await askCluster(() => eachBounded([...onPilots], mostCalls, ([link, ids]) => link.cancel(ids, signal)))
  }

  async collect({ id }: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await this.#begin(signal)
    const job = this.#jobs.get(id)
    const { outputs } = this.#requests.read(id) ?? { outputs: [] }
    const link = this.#work.linkOf(job)
    if (link !== undefined)
      return askCluster(() =>
        link.fetch({ request: { id, outputs }, places: { directory, logs: this.#logsOf(id) } }),
      )
    const logs = freshLogs(this.#logsOf(id))
    ensureLogs(logs)
    const missing = outputs.filter(({ optional }) => optional !== true).map(({ path }) => path)
    const isLost = job === undefined || job.observation.kind === 'exited'
    return {
      files: [],
      missing,
      ...logs,
      ...(isLost && { lost: 'It had ended, but its pilot is gone with its outputs.' }),
    }
  }

  async readPrinted({ id }: JobHandle, limitBytes: number, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await this.#begin(signal)
    const link = this.#work.linkOf(this.#jobs.get(id))
    if (link === undefined) return ''
    return askCluster(() => link.printed(id, Math.floor(limitBytes / 2), signal))
  }

  async release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await this.#begin(signal)
    await this.#releaseAll(handles.map(({ id }) => id))
  }

  async recover(ids: readonly JobId[], signal: AbortSignal): Promise<readonly JobHandle[]> {
    this.#mustBeOpen()
    await this.#begin(signal)
    return ids.flatMap((id) => (this.#jobs.get(id) === undefined ? [] : [handleOf(id)]))
  }

  watch(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void {
    if (signal.aborted) return
    this.#watchers.add(changed)
    signal.addEventListener('abort', () => this.#watchers.delete(changed), { once: true })
  }

  async discard(workDirectory: string, signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    await this.#begin(signal)
    await this.#releaseAll(this.#requests.ofExecution(workDirectory))
    this.#trees.forget(workDirectory)
    await askCluster(() => this.#work.drop(keyOf(workDirectory), signal))
    if (!this.#jobs.isBusy) await this.#fleet.rest(signal)
  }

  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      const links = [...this.#work.links]
      const limit = AbortSignal.timeout(closeMs)
      // What they keep for nobody would hold them.
      await Promise.all(links.map((link) => link.flush(limit).catch(() => undefined)))
    }
    this.#stop.abort(new EnvironmentError(`The environment ${this.name} is closed.`))
    await this.#work.ended()
    await this.#fleet.ended()
    await this.#parts.cluster.close()
  }

  /** Jobs of earlier lives of the server. */
  #remember(): void {
    for (const id of this.#requests.ids()) {
      const request = this.#requests.read(id)
      if (request === undefined) continue
      const slots = this.#plan(request.resources)
      const served = this.#requests.servedPod(id)
      const pilot = served?.split(' ')[0]
      const fate = served === cancelledMark ? 'cancelled' : pilot === undefined ? undefined : { pilot }
      // Its pilots may have become smaller.
      this.#jobs.add(request, typeof slots === 'string' ? 1 : slots, fate)
    }
  }

  async #begin(signal: AbortSignal): Promise<void> {
    await askCluster(() => this.#fleet.begin(signal))
    this.#work.begin()
  }

  /** Pilots say at once how jobs of an earlier life are. */
  async #listen(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    if (this.#hasListened) return
    const { now } = this.#parts
    const deadline = now() + firstLookMs
    while (now() < deadline && handles.some(({ id }) => this.#jobs.get(id)?.stage === 'unheard'))
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, firstLookPollMs)
        signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
      }).then(() => signal.throwIfAborted())
    this.#hasListened = true
  }

  /** How many slots a job takes: as many as it needs for its processors and its memory. A sentence where that is too many. */
  #plan(resources: Resources): number | string {
    const { slots } = this.#pilots
    const { cpus = 1, memory, time } = this.#parts.options
    const forCpus = Math.ceil((resources.cpus ?? 0) / cpus)
    const forMemory = memory === undefined ? 0 : Math.ceil((resources.memoryBytes ?? 0) / memory)
    const needed = Math.max(1, forCpus, forMemory)
    if (needed > slots) {
      const wish =
        forCpus >= forMemory ? `${resources.cpus} processors` : `${resources.memoryBytes} bytes of memory`
      return `It asks for ${wish}, which is more than a pilot has: ${slots} slots (pilots.slots).`
    }
    const wallTimeMs = resources.wallTimeMs ?? time
    const longest = longestJob(this.#times)
    if (wallTimeMs !== undefined && wallTimeMs > longest * 1000)
      return `Its wall time of ${wallTimeMs / 1000} s is longer than the ${longest} s that a pilot has for jobs (pilots.time).`
    return needed
  }

  async #releaseAll(ids: readonly JobId[]): Promise<void> {
    const onPilots = new Map<PilotLink, JobId[]>()
    for (const id of ids) {
      const job = this.#jobs.get(id)
      const link = this.#work.linkOf(job)
      if (link !== undefined && job?.stage !== 'going')
        onPilots.set(link, [...(onPilots.get(link) ?? []), id])
      this.#forget(id)
    }
    for (const [link, ofLink] of onPilots) link.release(ofLink)
    await eachBounded(ids, mostCalls, (id) => rm(this.#logsOf(id), { recursive: true, force: true }))
    this.#work.look()
  }

  #forget(id: JobId): void {
    this.#jobs.forget(id)
    this.#requests.forget([id])
  }

  /** Once: all Jobs of an environment have the same fields. */
  #tellOfDropped(sent: WireJob, kept: WireJob): void {
    if (this.#hasCompared) return
    this.#hasCompared = true
    const warning = warningOfDropped(sent, kept)
    if (warning !== undefined) this.#parts.warn(warning)
  }

  #logsOf(id: JobId): string {
    return join(this.#parts.directory, 'logs', id)
  }

  #tell(ids: readonly JobId[]): void {
    for (const watcher of this.#watchers) watcher(ids)
  }

  #mustBeOpen(): void {
    if (this.#stop.signal.aborted) throw new EnvironmentError(`The environment ${this.name} is closed.`)
  }
}

/** Instead of a pod, for jobs that were cancelled while they waited. */
const cancelledMark = 'cancelled'

function observationOf(job: PilotJob | undefined, waits: Observation): Observation {
  if (job === undefined) return { kind: 'lost', message: 'No pilot of the environment knows it (any more).' }
  return job.stage === 'waiting' ? waits : job.observation
}

function accepted(id: JobId): SubmitOutcome {
  return { kind: 'accepted', handle: handleOf(id) }
}

function handleOf(id: JobId): JobHandle {
  return { id, nativeId: id, state: { version: 1, pilots: true } }
}
