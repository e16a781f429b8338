import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import {
  EnvironmentError,
  type Capabilities,
  type CollectedFiles,
  type Environment,
  type JobHandle,
  type JobId,
  type JobRequest,
  type Observation,
  type SubmitOutcome,
} from '../../src/environment/environment.ts'
import type { JobBoxes, JobLimits } from '../../src/environment/plugin.ts'
import { passing, type Variables } from './variables.ts'
import { collectJob } from './collect.ts'
import { LocalJob, type StopWish } from './job.ts'
import type { Launcher } from './launcher.ts'
import { Launchers } from './launchers.ts'
import { JobDirectories } from './job-directories.ts'
import { killProcessesOf } from './processes.ts'
import { jobText } from './job-text.ts'
import { PrintWatch } from './print-watch.ts'
import { showBytes } from './show-bytes.ts'
import { readLogEnds } from '../../src/environment/job-files/logs.ts'
import { refusalOf } from '../../src/environment/refusal.ts'
import { rememberingReader } from '../../src/environment/view.ts'

export interface LocalEnvironmentOptions {
  readonly slots: number
  readonly stopGraceMs: number
  readonly env: Readonly<Record<string, string>>
}

export interface LocalSurroundings {
  /** Empty directory for job directories, without symbolic links in its path. */
  readonly directory: string
  /** The server's own variables. */
  readonly variables: Variables
  readonly boxes?: JobBoxes
  readonly limits: JobLimits
  readonly warn: (message: string) => void
  readonly newSecret: () => string
}

/** What a job here can ask for. Memory is that of each of its processes. */
const honoured = ['cpus', 'memoryBytes', 'wallTimeMs'] as const

/** Jobs submitted and not yet released. More are deferred: each holds memory and, once started, a directory. */
const mostKnownJobs = 10_000

/** A server has ten seconds to stop in, and other things to do in them; its jobs run again. */
const closeGraceMs = 4000

const cancelled: StopWish = { cause: 'cancelled', message: 'It was cancelled.' }

/** This computer as an environment. What it knows of jobs is in memory: they end with the server. */
export class LocalEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #options: LocalEnvironmentOptions
  readonly #surroundings: LocalSurroundings
  readonly #launchers: Launchers
  readonly #directories: JobDirectories
  readonly #jobs = new Map<JobId, LocalJob>()
  readonly #running = new Map<Launcher, LocalJob>()
  readonly #printWatch = new PrintWatch(() => this.#running.values())
  readonly #watchers = new Set<(ids: readonly JobId[]) => void>()
  #queue: LocalJob[] = []
  #freeSlots: number
  #changed = new Set<JobId>()
  #closing: Promise<void> | undefined

  constructor(name: string, options: LocalEnvironmentOptions, surroundings: LocalSurroundings) {
    this.name = name
    this.#options = options
    this.#surroundings = surroundings
    this.#freeSlots = options.slots
    this.capabilities = {
      survivesRestart: false,
      sharedFileSystem: true,
      watch: true,
      resources: honoured,
      maxJobsPerSubmit: 256,
      maxActiveJobs: Math.max(64, options.slots * 4),
      slots: options.slots,
      pollInterval: { minMs: 200, maxMs: 5000, stepMs: 200 },
    }
    this.#directories = new JobDirectories(surroundings.directory, surroundings.warn, surroundings.boxes)
    this.#launchers = new Launchers({
      count: options.slots,
      directory: surroundings.directory,
      variables: passing(surroundings.variables),
      ...(surroundings.boxes !== undefined && { boxes: surroundings.boxes }),
      limits: surroundings.limits,
      newSecret: surroundings.newSecret,
      warn: surroundings.warn,
      freed: () => this.#dispatch(),
      gone: (launcher, message) => this.#lose(launcher, message),
    })
  }

  /** Process ids of the shells behind this environment. */
  get shellPids(): readonly number[] {
    return this.#launchers.pids
  }

  /** Starts the launcher shells. A computer without a fit bash is told by `check` and `submit`. */
  async start(): Promise<void> {
    try {
      await this.#launchers.fill()
    } catch (error) {
      this.#surroundings.warn(String(error))
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    try {
      accessSync(this.#surroundings.directory, constants.W_OK)
    } catch (error) {
      throw new EnvironmentError(`Job directories cannot be made in ${this.#surroundings.directory}.`, {
        cause: error,
      })
    }
    if (!this.#launchers.isFull) await this.#launchers.fill()
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    if (!this.#launchers.isFull) await this.#launchers.fill()
    const read = rememberingReader()
    const outcomes = new Map<JobId, SubmitOutcome>()
    for (const request of requests) outcomes.set(request.id, this.#accept(request, read))
    this.#dispatch()
    return outcomes
  }

  async observe(handles: readonly JobHandle[]): Promise<ReadonlyMap<JobId, Observation>> {
    return new Map(
      handles.map(({ id }) => [
        id,
        this.#jobs.get(id)?.observation ?? {
          kind: 'lost',
          message: 'This computer does not know the job: it was released, or ended with an earlier server.',
        },
      ]),
    )
  }

  async cancel(handles: readonly JobHandle[]): Promise<void> {
    this.#stop(handles, this.#options.stopGraceMs)
  }

  async collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    signal.throwIfAborted()
    const job = this.#jobs.get(handle.id)
    if (job?.isOver !== true)
      throw new EnvironmentError(
        `Nothing of the job ${handle.id} can be collected: it ${job === undefined ? 'is not known' : 'still runs'}.`,
      )
    return collectJob(job, directory, this.#surroundings.limits, signal)
  }

  async readPrinted({ id }: JobHandle, limitBytes: number): Promise<string> {
    const directory = this.#jobs.get(id)?.directory
    if (directory === undefined) return ''
    return readLogEnds([join(directory, 'stdout'), join(directory, 'stderr')], limitBytes)
  }

  async release(handles: readonly JobHandle[]): Promise<void> {
    this.#stop(handles, 0)
    for (const { id } of handles) {
      const job = this.#jobs.get(id)
      if (job === undefined) continue
      await job.over
      this.#jobs.delete(id)
      if (job.directory !== undefined) await this.#directories.give(job.directory)
    }
  }

  async recover(ids: readonly JobId[]): Promise<readonly JobHandle[]> {
    return ids.flatMap((id) => this.#jobs.get(id)?.handle ?? [])
  }

  watch(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void {
    if (signal.aborted) return
    this.#watchers.add(changed)
    signal.addEventListener('abort', () => this.#watchers.delete(changed), { once: true })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const jobs = [...this.#jobs.values()].filter((job) => !job.isOver)
    const graceMs = Math.min(this.#options.stopGraceMs, closeGraceMs)
    this.#stop(
      jobs.map((job) => job.handle),
      graceMs,
    )
    await Promise.all(jobs.map((job) => job.over))
    await this.#launchers.close(graceMs)
    await this.#directories.close()
  }

  #mustBeOpen(): void {
    if (this.#closing !== undefined) throw new EnvironmentError(`The environment ${this.name} is closed.`)
  }

  #accept(request: JobRequest, read: ReturnType<typeof rememberingReader>): SubmitOutcome {
    const known = this.#jobs.get(request.id)
    if (known !== undefined) return { kind: 'accepted', handle: known.handle }
    const refusal = refusalOf(request, honoured) ?? this.#refusalOfMemory(request)
    if (refusal !== undefined) return { kind: 'rejected', reason: refusal }
    if (this.#jobs.size >= mostKnownJobs)
      return { kind: 'deferred', reason: `${mostKnownJobs} jobs wait here to run or to be released.` }
    const { printedBytes } = this.#surroundings.limits
    const slots = Math.min(request.resources.cpus ?? 1, this.#options.slots)
    const job = new LocalJob(request, { slots, printedBytes }, read, (changed) =>
      this.#tell(changed.request.id),
    )
    this.#jobs.set(request.id, job)
    this.#queue.push(job)
    return { kind: 'accepted', handle: job.handle }
  }

  #refusalOfMemory({ resources }: JobRequest): string | undefined {
    const { memoryBytes: most = Infinity } = this.#surroundings.limits
    const { memoryBytes: wanted = 0 } = resources
    if (wanted <= most) return undefined
    return `It asks for ${showBytes(wanted)} of memory; here a process may take at most ${showBytes(most)} (--task-memory).`
  }

  /** Starts what can start, in the order of submission: a job that needs many slots is not overtaken. */
  #dispatch(): void {
    for (let job = this.#queue[0]; job !== undefined; job = this.#queue[0]) {
      if (job.slots > this.#freeSlots) return
      const launcher = this.#launchers.take()
      if (launcher === undefined) return
      this.#queue.shift()
      const directory = this.#prepare(job)
      if (directory === undefined) this.#launchers.give(launcher)
      else this.#run(job, directory, launcher)
    }
  }

  #prepare(job: LocalJob): string | undefined {
    try {
      return this.#directories.take(job.request, job.read)
    } catch (error) {
      const message = `Its directory could not be made: ${String(error)}`
      job.conclude({ kind: 'stopped', cause: 'unknown', message })
      return undefined
    }
  }

  #run(job: LocalJob, directory: string, launcher: Launcher): void {
    const text = jobText(job.request, directory, this.#options.env, this.#surroundings.boxes)
    this.#running.set(launcher, job)
    this.#printWatch.begin()
    this.#freeSlots -= job.slots
    job.run(launcher, directory, text, this.#options.stopGraceMs, () => {
      this.#running.delete(launcher)
      this.#freeSlots += job.slots
      this.#launchers.give(launcher)
      this.#dispatch()
    })
  }

  /** The launcher is gone, and nobody can say how its job ends: the job ends now. */
  #lose(launcher: Launcher, message: string): void {
    const job = this.#running.get(launcher)
    if (job === undefined) return
    this.#running.delete(launcher)
    this.#freeSlots += job.slots
    job.conclude({ kind: 'lost', message: `What started the job is gone. ${message}` })
    killProcessesOf(new Set([`${job.directory}/work`]))
    this.#dispatch()
  }

  #stop(handles: readonly JobHandle[], graceMs: number): void {
    let isQueueChanged = false
    for (const { id } of handles) {
      const job = this.#jobs.get(id)
      if (job?.observation.kind === 'queued' && job.directory === undefined) {
        job.conclude({ kind: 'stopped', ...cancelled })
        isQueueChanged = true
      } else job?.stop(cancelled, graceMs)
    }
    if (!isQueueChanged) return
    this.#queue = this.#queue.filter((job) => !job.isOver)
    this.#dispatch()
  }

  /** Collects what changed in this turn of the event loop into one call. */
  #tell(id: JobId): void {
    if (this.#watchers.size === 0) return
    if (this.#changed.size === 0)
      setImmediate(() => {
        const ids = [...this.#changed]
        this.#changed = new Set()
        for (const watcher of this.#watchers) watcher(ids)
      })
    this.#changed.add(id)
  }
}
