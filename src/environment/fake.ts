import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  isJobId,
  type Capabilities,
  type CollectedFiles,
  type Environment,
  type JobHandle,
  type JobId,
  type JobRequest,
  type Observation,
  type SubmitOutcome,
} from './environment.ts'

/** What a fake job does. */
export interface FakeBehaviour {
  /** Time until it is over; without it the job is over when `finish` is called. */
  readonly runMs?: number
  /** How it ends; exit code 0 without it. */
  readonly end?: Observation
  readonly stdout?: string
  /** It waits for this, and never runs. */
  readonly waitsFor?: string
  readonly stderr?: string
  /** Content of the files that it writes, by path. */
  readonly outputs?: Readonly<Record<string, string>>
  /** The answer to `submit` where it is not accepted. */
  readonly refusal?: Exclude<SubmitOutcome, { kind: 'accepted' }>
}

interface FakeJob {
  readonly request: JobRequest
  readonly behaviour: FakeBehaviour
  observation: Observation
  timer?: NodeJS.Timeout
}

/** An environment that runs nothing: jobs live in memory and do what `behave` says. For tests of what uses environments. */
export class FakeEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  /** Requests in the order they were accepted. */
  readonly accepted: JobRequest[] = []
  /** Jobs that `cancel` was called for. */
  readonly cancelled: JobId[] = []
  /** While set, every call that asks the environment throws it. */
  outage: Error | undefined
  readonly #behave: (request: JobRequest) => FakeBehaviour
  readonly #jobs = new Map<JobId, FakeJob>()
  readonly #watchers = new Set<(ids: readonly JobId[]) => void>()

  constructor(
    behave: (request: JobRequest) => FakeBehaviour = () => ({ runMs: 0 }),
    { name = 'fake', ...capabilities }: Partial<Capabilities> & { name?: string } = {},
  ) {
    this.#behave = behave
    this.name = name
    this.capabilities = {
      survivesRestart: false,
      sharedFileSystem: true,
      watch: true,
      resources: ['cpus', 'memoryBytes', 'gpus', 'nodes', 'wallTimeMs'],
      maxJobsPerSubmit: 100,
      maxActiveJobs: 1000,
      pollInterval: { minMs: 5, maxMs: 20, stepMs: 5 },
      ...capabilities,
    }
  }

  async check(): Promise<void> {
    this.#ask()
  }

  async submit(requests: readonly JobRequest[]): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    this.#ask()
    return new Map(requests.map((request) => [request.id, this.#accept(request)]))
  }

  async observe(handles: readonly JobHandle[]): Promise<ReadonlyMap<JobId, Observation>> {
    this.#ask()
    const lost: Observation = { kind: 'lost', message: 'not known here' }
    return new Map(handles.map(({ id }) => [id, this.#jobs.get(id)?.observation ?? lost]))
  }

  async cancel(handles: readonly JobHandle[]): Promise<void> {
    this.#ask()
    for (const { id } of handles) {
      this.cancelled.push(id)
      this.finish(id, { kind: 'stopped', cause: 'cancelled', message: 'cancelled' })
    }
  }

  async collect(handle: JobHandle, directory: string): Promise<CollectedFiles> {
    this.#ask()
    const job = this.#jobs.get(handle.id)
    if (job === undefined) throw new Error(`${handle.id} is not known here`)
    const { outputs = {}, stdout = '', stderr = '' } = job.behaviour
    const logs = { stdout: join(directory, 'stdout.log'), stderr: join(directory, 'stderr.log') }
    const files: string[] = []
    const missing: string[] = []
    for (const { path, optional } of job.request.outputs) {
      const content = outputs[path]
      if (content !== undefined) {
        await mkdir(dirname(join(directory, path)), { recursive: true })
        await writeFile(join(directory, path), content)
        files.push(path)
      } else if (optional !== true) missing.push(path)
    }
    await mkdir(directory, { recursive: true })
    await writeFile(logs.stdout, stdout)
    await writeFile(logs.stderr, stderr)
    return { files, missing, ...logs }
  }

  async release(handles: readonly JobHandle[]): Promise<void> {
    this.#ask()
    for (const { id } of handles) {
      clearTimeout(this.#jobs.get(id)?.timer)
      this.#jobs.delete(id)
    }
  }

  async recover(ids: readonly JobId[]): Promise<readonly JobHandle[]> {
    this.#ask()
    return ids.filter((id) => this.#jobs.has(id)).map(handleOf)
  }

  watch(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void {
    this.#watchers.add(changed)
    signal.addEventListener('abort', () => this.#watchers.delete(changed), { once: true })
  }

  async close(): Promise<void> {
    for (const { timer } of this.#jobs.values()) clearTimeout(timer)
  }

  /** Ends a job now, as its behaviour says or as told. */
  finish(id: JobId, observation?: Observation): void {
    const job = this.#jobs.get(id)
    if (job?.observation.kind !== 'running' && job?.observation.kind !== 'queued') return
    clearTimeout(job.timer)
    job.observation = observation ?? job.behaviour.end ?? { kind: 'exited', exitCode: 0 }
    for (const watcher of this.#watchers) watcher([id])
  }

  #ask(): void {
    if (this.outage !== undefined) throw this.outage
  }

  #accept(request: JobRequest): SubmitOutcome {
    if (this.#jobs.has(request.id)) return { kind: 'accepted', handle: handleOf(request.id) }
    if (!isJobId(request.id)) return { kind: 'rejected', reason: 'not a job id' }
    const behaviour = this.#behave(request)
    if (behaviour.refusal !== undefined) return behaviour.refusal
    const { waitsFor } = behaviour
    const observation: Observation =
      waitsFor === undefined ? { kind: 'running' } : { kind: 'queued', reason: waitsFor }
    const job: FakeJob = { request, behaviour, observation }
    if (behaviour.runMs !== undefined) job.timer = setTimeout(() => this.finish(request.id), behaviour.runMs)
    this.#jobs.set(request.id, job)
    this.accepted.push(request)
    return { kind: 'accepted', handle: handleOf(request.id) }
  }
}

function handleOf(id: JobId): JobHandle {
  return { id, nativeId: id, state: { version: 1 } }
}
