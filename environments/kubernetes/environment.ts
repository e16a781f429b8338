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
  type SubmitOutcome,
} from '../../src/environment/environment.ts'
import { keyOf } from '../../src/environment/job-files/places.ts'
import { WorkTrees } from '../../src/environment/job-files/work-trees.ts'
import { refusalOf } from '../../src/environment/refusal.ts'
import { askCluster } from './cluster/ask-cluster.ts'
import { inspectCluster, isExecOptional } from './check.ts'
import type { Cluster } from './cluster/cluster.ts'
import { collectJob } from './files/collect-job.ts'
import { warningOfDropped } from './cluster/dropped-fields.ts'
import { readLogEnd } from './files/fetch-logs.ts'
import { eachBounded } from './cluster/each-bounded.ts'
import { Fetches } from './files/fetches.ts'
import { fetchOf, type Fetching } from './files/fetching.ts'
import type { KeptRequests } from './pods/kept-requests.ts'
import { cancelledAnnotation, executionSelector, instanceSelector, jobIdOf, jobName } from './pods/names.ts'
import { prepareMounts, type Mounts } from './files/mounts.ts'
import { openObjectStorage, type ObjectStorage } from './files/object-storage.ts'
import { ObservedObjects } from './pods/observed-objects.ts'
import type { KubernetesOptions } from './options.ts'
import { hasEnded, isCancelled, isKeeping } from './pods/pod-states.ts'
import { Stager } from './files/stager.ts'
import { handleOf, submitJob } from './pods/submit-job.ts'
import { Volume } from './files/volume.ts'
import type { WireJob } from './cluster/wire.ts'

export interface KubernetesEnvironmentParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions
  /** Stands for this environment of this server; the same in its next life. */
  readonly instance: string
  /** On the server, for logs. */
  readonly directory: string
  readonly requests: KeptRequests
  /** Where pods fetch their files from this server; undefined where they are brought. */
  readonly fetching?: Fetching | undefined
  readonly newMark: () => string
  readonly now: () => number
  readonly warn: (message: string) => void
}

const honoured = ['cpus', 'memoryBytes', 'gpus', 'wallTimeMs'] as const
/** Calls under way at one time. */
const mostCalls = 8

/** A namespace of a Kubernetes cluster: a Job for each attempt. */
export class KubernetesEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #parts: KubernetesEnvironmentParts
  readonly #stop = new AbortController()
  readonly #objects: ObservedObjects
  readonly #stager: Stager | Fetches
  readonly #trees = new WorkTrees()
  readonly #watchers = new Set<(ids: readonly JobId[]) => void>()
  readonly #volume: Volume | undefined
  readonly #storage: ObjectStorage | undefined
  #hasCompared = false

  constructor(name: string, parts: KubernetesEnvironmentParts) {
    this.name = name
    this.#parts = parts
    const { cluster, options, instance, requests, now, warn } = parts
    this.capabilities = {
      survivesRestart: true,
      sharedFileSystem: false,
      watch: true,
      resources: honoured,
      maxJobsPerSubmit: 500,
      maxActiveJobs: options.maxActiveJobs,
      ...(options.lostAfter !== undefined && { lostAfterOutageMs: options.lostAfter }),
      pollInterval: { minMs: 2000, maxMs: 30_000, stepMs: 2000 },
    }
    this.#storage = openObjectStorage(parts, this.#stop.signal)
    this.#stager = this.#openStager()
    const { volume } = options
    this.#volume =
      volume === undefined
        ? undefined
        : new Volume({
            ...parts,
            options: { ...options, volume },
            directory: join(parts.directory, 'claimed'),
          })
    this.#objects = new ObservedObjects(
      { cluster, instance, options, servedPod: (id) => requests.servedPod(id), now, warn },
      (pods) => this.#stager.look(pods),
      (ids) => this.#tell(ids),
      this.#stop.signal,
    )
  }

  async check(signal: AbortSignal): Promise<void> {
    const bad = (await this.inspect(signal)).find(({ isGood }) => !isGood)
    if (bad !== undefined) throw new EnvironmentError([bad.message, bad.fix].filter(Boolean).join(' '))
  }

  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    const { cluster, options } = this.#parts
    return inspectCluster(cluster, { ...options, storage: this.#storage }, signal)
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const outcomes = new Map<JobId, SubmitOutcome>()
    const fit: JobRequest[] = []
    for (const request of requests) {
      const reason = refusalOf(request, honoured)
      if (reason === undefined) fit.push(request)
      else outcomes.set(request.id, { kind: 'rejected', reason })
    }
    if (fit.length > 0) await askCluster(() => this.#objects.begin(signal))
    const mounts = await this.#mounts(fit, signal)
    await eachBounded(fit, mostCalls, async (request) => {
      const own = mounts.get(request.id) ?? { kind: 'ready', hashes: [] }
      const outcome = own.kind === 'deferred' ? own : await this.#create(request, own.hashes, signal)
      outcomes.set(request.id, outcome)
    })
    return outcomes
  }

  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const observations = await askCluster(() => this.#objects.observe(handles, signal))
    const stopped = new Map<JobId, Observation>()
    for (const { id } of handles) {
      const failure = this.#stager.failureOf(id)
      const { kind } = observations.get(id) ?? {}
      if (failure !== undefined && (kind === 'queued' || kind === 'running'))
        stopped.set(id, { kind: 'stopped', cause: 'unknown', message: failure })
    }
    return new Map([...observations, ...stopped])
  }

  async cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await askCluster(async () => {
      await this.#objects.begin(signal)
      await eachBounded(handles, mostCalls, ({ id }) => this.#cancel(id, signal))
    })
  }

  async collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const { requests, options } = this.#parts
    const parts = { ...this.#parts, volume: this.#volume, isExecOptional: isExecOptional(options) }
    const places = { directory, logs: this.#logsOf(handle.id) }
    return askCluster(async () => {
      const pod = await this.#objects.podOf(handle.id, signal)
      return collectJob(pod, requests.read(handle.id), places, parts, signal)
    })
  }

  async readPrinted({ id }: JobHandle, limitBytes: number, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    return askCluster(async () => {
      const name = (await this.#objects.podOf(id, signal))?.metadata?.name
      return name === undefined ? '' : readLogEnd(this.#parts.cluster, name, limitBytes, signal)
    })
  }

  async release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await askCluster(async () => {
      await this.#objects.begin(signal)
      await eachBounded(handles, mostCalls, ({ id }) => this.#release(id, signal))
    })
  }

  async recover(ids: readonly JobId[], signal: AbortSignal): Promise<readonly JobHandle[]> {
    this.#mustBeOpen()
    const { cluster, instance } = this.#parts
    const wanted = new Set(ids)
    return askCluster(async () => {
      await this.#objects.begin(signal)
      const { items } = await cluster.jobs.list({ labelSelector: instanceSelector(instance) }, signal)
      return items.flatMap((job) => {
        const id = jobIdOf(job, instance)
        return id !== undefined && wanted.has(id) ? [handleOf(id, job)] : []
      })
    })
  }

  watch(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void {
    if (signal.aborted) return
    this.#watchers.add(changed)
    signal.addEventListener('abort', () => this.#watchers.delete(changed), { once: true })
  }

  async discard(workDirectory: string, signal: AbortSignal): Promise<void> {
    this.#mustBeOpen()
    const { cluster, instance, requests } = this.#parts
    const labelSelector = executionSelector(instance, keyOf(workDirectory))
    await askCluster(async () => {
      await this.#objects.begin(signal)
      const { items } = await cluster.jobs.list({ labelSelector }, signal)
      const ids = items.flatMap((job) => jobIdOf(job, instance) ?? [])
      await eachBounded(ids, mostCalls, (id) => this.#release(id, signal))
    })
    await askCluster(async () => this.#volume?.discard(keyOf(workDirectory), signal))
    await this.#storage?.discard(keyOf(workDirectory))
    requests.forget(requests.ofExecution(workDirectory))
    this.#trees.forget(workDirectory)
  }

  async close(): Promise<void> {
    this.#stop.abort(new EnvironmentError(`The environment ${this.name} is closed.`))
    await this.#objects.ended()
    await this.#stager.ended()
    await this.#volume?.close()
    await this.#storage?.close()
    await this.#parts.cluster.close()
  }

  /** What pods of these jobs mount instead of getting it by exec. */
  async #mounts(requests: readonly JobRequest[], signal: AbortSignal): Promise<ReadonlyMap<JobId, Mounts>> {
    const volume = this.#volume
    if (volume === undefined) return new Map()
    const { options, warn } = this.#parts
    const parts = { volume, trees: this.#trees, hasRuntime: options.hasRuntime, warn }
    // The environment may be closed while much is being brought.
    const either = AbortSignal.any([signal, this.#stop.signal])
    return askCluster(() => prepareMounts(requests, parts, either))
  }

  async #create(
    request: JobRequest,
    mounted: readonly string[],
    signal: AbortSignal,
  ): Promise<SubmitOutcome> {
    const { fetching, instance } = this.#parts
    const made = (sent: WireJob, kept: WireJob) => this.#tellOfDropped(sent, kept)
    const fetch = fetching && fetchOf(fetching, instance, request.id)
    const outcome = await submitJob({ ...this.#parts, fetch, made }, request, mounted, signal)
    // The pod of an earlier try may wait for files already.
    const { id } = request
    if (outcome.kind === 'accepted')
      this.#stager.look(this.#objects.podsOf(id).map((pod) => ({ id, pod, isGone: false })))
    return outcome
  }

  #openStager(): Stager | Fetches {
    const { fetching, instance } = this.#parts
    const common = { ...this.#parts, trees: this.#trees, storage: this.#storage }
    if (fetching === undefined) return new Stager(common, this.#stop.signal)
    const podsOf = (id: JobId) => this.#objects.podsOf(id)
    const fetches = new Fetches({ ...common, tokens: fetching.tokens, podsOf }, this.#stop.signal)
    fetching.desk.serve(instance, (asked) => fetches.open(asked), this.#stop.signal)
    return fetches
  }

  /** Once: all Jobs of an environment have the same fields. */
  #tellOfDropped(sent: WireJob, kept: WireJob): void {
    if (this.#hasCompared) return
    this.#hasCompared = true
    const warning = warningOfDropped(sent, kept)
    if (warning !== undefined) this.#parts.warn(warning)
  }

  async #cancel(id: JobId, signal: AbortSignal): Promise<void> {
    const { cluster, now } = this.#parts
    const annotations = { [cancelledAnnotation]: new Date(now()).toISOString() }
    const pods = this.#objects.podsOf(id)
    this.#stager.forget(id)
    // Without a pod that keeps a log or may run, the Job need make none.
    if (!pods.some(({ spec }) => spec?.nodeName !== undefined)) {
      await cluster.jobs.patch(jobName(id), { metadata: { annotations }, spec: { parallelism: 0 } }, signal)
      return
    }
    for (const pod of pods) {
      const name = pod.metadata?.name
      if (name === undefined || isKeeping(pod) || hasEnded(pod) || isCancelled(pod)) continue
      // The deadline can only be lowered, and deleting would take the log along.
      await cluster.pods.patch(
        name,
        { metadata: { annotations }, spec: { activeDeadlineSeconds: 1 } },
        signal,
      )
    }
  }

  async #release(id: JobId, signal: AbortSignal): Promise<void> {
    const { cluster, requests } = this.#parts
    this.#stager.forget(id)
    await cluster.jobs.delete(jobName(id), { propagationPolicy: 'Background' }, signal)
    // Soon, and not after the grace that jobs have when they are asked to end.
    for (const pod of this.#objects.podsOf(id))
      if (pod.metadata?.name !== undefined)
        await cluster.pods.delete(pod.metadata.name, { gracePeriodSeconds: 1 }, signal)
    requests.forget([id])
    await rm(this.#logsOf(id), { recursive: true, force: true })
  }

  #logsOf(id: JobId): string {
    return join(this.#parts.directory, 'logs', id)
  }

  #tell(ids: readonly JobId[]): void {
    if (ids.length > 0) for (const watcher of this.#watchers) watcher(ids)
  }

  #mustBeOpen(): void {
    if (this.#stop.signal.aborted) throw new EnvironmentError(`The environment ${this.name} is closed.`)
  }
}
