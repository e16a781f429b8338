import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  toJobId,
  type CollectedFiles,
  type Environment,
  type JobHandle,
  type JobId,
  type JobRequest,
  type Observation,
} from '../../src/environment/environment.ts'
import { until } from './until.ts'

/** Clusters on a busy machine take their time. */
export const usualPatienceMs = 60_000

export const noSignal = new AbortController().signal

/** One environment under trial, with a directory of its own for everything, and short ways to run jobs on it. */
export class Trial {
  readonly directory = mkdtempSync(join(tmpdir(), 'molehill-trial-'))
  readonly workDirectory = join(this.directory, 'work')
  readonly #make: (directory: string) => Promise<Environment>
  readonly #patienceMs: number
  readonly #answerMs: number | undefined
  #environment: Environment | undefined
  readonly #handles: JobHandle[] = []
  #count = 0

  /**
   * `patienceMs` is how long jobs may take that need no time themselves, `answerMs` how long the environment may take
   * for an answer; without it, as long as it likes.
   */
  constructor(
    make: (directory: string) => Promise<Environment>,
    patienceMs = usualPatienceMs,
    answerMs?: number,
  ) {
    this.#make = make
    this.#patienceMs = patienceMs
    this.#answerMs = answerMs
    mkdirSync(this.workDirectory)
  }

  get environment(): Environment {
    if (this.#environment === undefined) throw new Error('open() was not called')
    return this.#environment
  }

  /** The directory that the environment may use. */
  get ownDirectory(): string {
    return join(this.directory, 'environment')
  }

  async open(): Promise<void> {
    this.#environment = await this.#make(this.ownDirectory)
  }

  async close(): Promise<void> {
    try {
      if (this.#environment?.capabilities.survivesRestart === true) await this.#releaseAll()
    } finally {
      await this.#environment?.close()
      // What ran the jobs may be writing its last words there.
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    }
  }

  /** Jobs that outlive their environment must not outlive their test. */
  async #releaseAll(): Promise<void> {
    try {
      await this.environment.release(this.#handles, noSignal)
    } catch {
      // The test closed it.
      await this.open()
      await this.environment.release(this.#handles, noSignal)
    }
  }

  request(command: readonly string[], more: Partial<JobRequest> = {}): JobRequest {
    this.#count += 1
    return {
      // Never used twice, also not by another trial on the same cluster.
      id: toJobId(`${basename(this.directory).replaceAll('_', '-')}-${this.#count}`),
      command,
      env: {},
      workDirectory: this.workDirectory,
      inputs: [],
      outputs: [],
      resources: {},
      ...more,
    }
  }

  shell(script: string, more: Partial<JobRequest> = {}): JobRequest {
    return this.request(['sh', '-c', script], more)
  }

  /** Submits one request that must be accepted. */
  async submit(request: JobRequest): Promise<JobHandle> {
    const [handle] = await this.submitAll([request])
    return handle!
  }

  /** Submits requests together, all of which must be accepted. */
  async submitAll(requests: readonly JobRequest[]): Promise<readonly JobHandle[]> {
    const outcomes = await this.#answer(
      `submit of ${requests.length} jobs`,
      this.environment.submit(requests, noSignal),
    )
    for (const outcome of outcomes.values())
      if (outcome.kind === 'accepted') this.#handles.push(outcome.handle)
    return requests.map(({ id }) => {
      const outcome = outcomes.get(id)
      if (outcome === undefined) throw new Error(`submit gave no outcome for ${id}: each request has one`)
      if (outcome.kind !== 'accepted') throw new Error(`${id} was not accepted: ${JSON.stringify(outcome)}`)
      return outcome.handle
    })
  }

  /** How requests end that are submitted together. */
  async runAll(requests: readonly JobRequest[]): Promise<readonly Observation[]> {
    return this.waitForAll(await this.submitAll(requests))
  }

  /** Waits until all of them are over; asks about all at once, as the engine does: one by one takes minutes behind SSH. */
  async waitForAll(
    handles: readonly JobHandle[],
    timeoutMs = this.#patienceMs,
  ): Promise<readonly Observation[]> {
    let last: readonly Observation[] = []
    const isOpen = ({ kind }: Observation): boolean => kind === 'queued' || kind === 'running'
    return until(
      'all jobs are over',
      async () => {
        const found = await this.#ask(handles)
        last = handles.map((handle) => observationIn(found, handle))
        const unclear = last.find(({ kind }) => kind === 'unclear')
        if (unclear !== undefined)
          throw new Error(`observe could not tell of a job: ${JSON.stringify(unclear)}`)
        return last.some(isOpen) ? undefined : last
      },
      () => last.filter(isOpen),
      timeoutMs,
    )
  }

  async observe(handle: JobHandle): Promise<Observation> {
    return observationIn(await this.#ask([handle]), handle)
  }

  async waitForRunning(handle: JobHandle): Promise<void> {
    await this.#waitFor(handle, 'runs', (observation) => observation.kind === 'running')
  }

  async waitForEnd(handle: JobHandle): Promise<Observation> {
    return this.#waitFor(
      handle,
      'is over',
      ({ kind }) => kind === 'exited' || kind === 'stopped' || kind === 'lost',
    )
  }

  /** Runs one job to its end and collects it. */
  async run(request: JobRequest): Promise<Result> {
    const handle = await this.submit(request)
    const end = await this.waitForEnd(handle)
    return { handle, end, ...(await this.collect(handle)) }
  }

  async collect(handle: JobHandle): Promise<Omit<Result, 'handle' | 'end'>> {
    const directory = join(this.directory, `collected-${handle.id}`)
    const collected = await this.#answer('collect', this.environment.collect(handle, directory, noSignal))
    const stderr = readFileSync(collected.stderr, 'utf8')
    return {
      collected,
      stdout: readFileSync(collected.stdout, 'utf8'),
      stderr,
      read: (path) => {
        if (existsSync(join(directory, path))) return readFileSync(join(directory, path))
        throw new Error(
          `${JSON.stringify(path)} is not where collect should have put it, ${JSON.stringify(join(directory, path))}; ` +
            `it told of files ${JSON.stringify(collected.files)} and missing ${JSON.stringify(collected.missing)}, ` +
            `and the job wrote on standard error: ${JSON.stringify(stderr.slice(-500))}`,
        )
      },
    }
  }

  /** Asks, and leaves the machine to the scheduler for as long again: each question may be a program or more. */
  async #ask(handles: readonly JobHandle[]): Promise<ReadonlyMap<JobId, Observation>> {
    const began = performance.now()
    const found = await this.#answer(
      `observe of ${handles.length} jobs`,
      this.environment.observe(handles, noSignal),
    )
    await pause(performance.now() - began)
    return found
  }

  /** What takes too long is told by its name, before the test as a whole is given up. */
  async #answer<Answer>(what: string, answer: Promise<Answer>): Promise<Answer> {
    const answerMs = this.#answerMs
    if (answerMs === undefined) return answer
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      reject(
        new Error(
          `${what} gave no answer within ${answerMs} ms: let it ask about many jobs at once, or give ` +
            'describeEnvironment more patienceMs where the place itself is slow',
        ),
      )
    }, answerMs)
    try {
      return await Promise.race([answer, promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #waitFor(
    handle: JobHandle,
    what: string,
    isWanted: (observation: Observation) => boolean,
  ): Promise<Observation> {
    let last: Observation | undefined
    return until(
      `${handle.id} ${what}`,
      async () => {
        last = await this.observe(handle)
        if (isWanted(last)) return last
        if (last.kind !== 'queued' && last.kind !== 'running')
          throw new Error(`${handle.id} was expected to be one that ${what}, but: ${JSON.stringify(last)}`)
        return undefined
      },
      () => last,
      this.#patienceMs,
    )
  }
}

function observationIn(found: ReadonlyMap<JobId, Observation>, { id }: JobHandle): Observation {
  const observation = found.get(id)
  if (observation === undefined) throw new Error(`observe left out ${id}: each handle has an observation`)
  return observation
}

export interface Result {
  readonly handle: JobHandle
  readonly end: Observation
  readonly collected: CollectedFiles
  readonly stdout: string
  readonly stderr: string
  /** Content of a collected output. */
  readonly read: (path: string) => Buffer
}
