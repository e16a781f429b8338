import { Readable } from 'node:stream'
import type { CollectedFiles, JobId, JobRequest } from '../../../src/environment/environment.ts'
import { gather } from '../../../src/environment/gather.ts'
import { receiveOutputs } from '../../../src/environment/job-files/receive-outputs.ts'
import { tarBytes, tarLength } from '../../../src/environment/job-files/tar-stream.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { keptPaths, outputsText } from '../files/archive.ts'
import { backOffMs, clockOf } from '../cluster/clock.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { execInPod, promptMs, type ExecCommand, type ExecResult } from '../cluster/exec.ts'
import { notPacked, notUnpacked, sortOutputs, type FetchPlaces, type Sorting } from '../files/staging.ts'
import { stagingContainers } from '../pods/template.ts'
import type { Delivery } from './delivery.ts'
import { linesInto, readPilotNews, type PilotNews } from './news.ts'
import { pilotPlaces } from './places.ts'
import type { PilotPod } from './state.ts'
import { closedCode, deliverText, dropText, endText, followText, packText, printedText } from './scripts.ts'
import { messageOf } from '../../../src/problem.ts'

export interface LinkParts {
  readonly cluster: Cluster
  readonly newMark: () => string
  readonly now: () => number
  readonly warn: (message: string) => void
  /** All that the pilot has, since `begin` was told and until `listed` is, and then what happens. */
  readonly told: (link: PilotLink, news: PilotNews) => void
}

interface WantedFiles {
  readonly request: Pick<JobRequest, 'id' | 'outputs'>
  readonly places: FetchPlaces
}

/** Its signs of life come more often. */
const silenceMs = 60_000
/** How long removals wait for others. */
const releaseDelayMs = 500
const mostIdsAtOnce = 100

/** The way to one pilot: what it says, what it is brought and told, what is fetched from it. */
export class PilotLink {
  readonly pod: PilotPod
  /** Whether it has said all that it has since it was last asked. */
  isListed = false
  /** No job begins there any more. */
  isClosed = false
  /** Its loop is over. */
  isOver = false
  isBringing = false
  /** Jobs that take so long, in seconds, it has refused; 0 are those that do not say. */
  readonly refused = new Set<number>()
  /** Executions by hash of what it has for them; undefined where that may be for any. */
  readonly #contents = new Map<string, Set<string> | undefined>()
  readonly #parts: LinkParts
  readonly #stop = new AbortController()
  #round = new AbortController()
  readonly #following: Promise<void>
  readonly #released = new Set<JobId>()
  #releasing: Promise<void> | undefined
  readonly #fetch: (wanted: WantedFiles) => Promise<ReadonlyMap<JobId, CollectedFiles>>

  constructor(pod: PilotPod, parts: LinkParts) {
    this.pod = pod
    this.#parts = parts
    this.#following = this.#follow()
    this.#fetch = gather((wanted) => this.#fetchAll(wanted), {
      delayMs: 10,
      mostAtOnce: mostIdsAtOnce,
      mostRunning: 2,
    })
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Whether somebody has to go on with it: something that was released may still be there. */
  get isNeeded(): boolean {
    return this.#released.size > 0
  }

  /** Asks again for all that it has. */
  relist(): void {
    this.isListed = false
    this.#round.abort(new Error('asked anew'))
  }

  /** No more calls; what is being told ends. */
  async end(): Promise<void> {
    this.#stop.abort(new Error(`The pod ${this.pod.name} is left alone.`))
    await this.#following
    await this.#releasing
  }

  has(hash: string): boolean {
    return this.#contents.has(hash)
  }

  /** What it has of these is needed: another execution that is over takes it along no more. */
  use(contents: Delivery['contents']): void {
    this.keep(new Map([...contents].filter(([hash]) => this.has(hash))))
  }

  /** It has these now. */
  keep(contents: Delivery['contents']): void {
    for (const [hash, key] of contents) {
      const known = this.#contents.get(hash)
      if (key === undefined || (known === undefined && this.#contents.has(hash)))
        this.#contents.set(hash, undefined)
      else this.#contents.set(hash, (known ?? new Set<string>()).add(key))
    }
  }

  /** Brings jobs, in one go. False where it takes no more. Throws ApiError, and what reading files throws. */
  async deliver({ entries }: Delivery, name: string): Promise<boolean> {
    const { exitCode, stderr } = await this.#run(
      deliverText,
      [String(tarLength(entries)), name],
      this.signal,
      {
        stdin: Readable.from(tarBytes(entries), { objectMode: false }),
        firstMs: promptMs,
      },
    )
    if (exitCode === 0) return true
    if (exitCode === closedCode) return false
    throw this.#refusal(notUnpacked, 'files of jobs could not be unpacked', exitCode, stderr)
  }

  async cancel(ids: readonly JobId[], signal: AbortSignal): Promise<void> {
    for (let from = 0; from < ids.length; from += mostIdsAtOnce)
      await this.#run(endText, ['cancel', ...ids.slice(from, from + mostIdsAtOnce)], signal, {
        firstMs: promptMs,
      })
  }

  /** Sees to it that nothing is left of these, soon. */
  release(ids: readonly JobId[]): void {
    for (const id of ids) this.#released.add(id)
    this.#releasing ??= this.#releaseLater().finally(() => (this.#releasing = undefined))
  }

  /** Tells it at once what was released. */
  async flush(signal: AbortSignal): Promise<void> {
    const ids = [...this.#released].slice(0, mostIdsAtOnce)
    if (ids.length === 0) return
    await this.#run(endText, ['release', ...ids], signal, { firstMs: promptMs })
    for (const id of ids) this.#released.delete(id)
    await this.flush(signal)
  }

  /** Deletes what no execution but this one has there. */
  async drop(key: string, signal: AbortSignal): Promise<void> {
    const unused = [...this.#contents].flatMap(([hash, keys]) => {
      keys?.delete(key)
      return keys?.size === 0 ? [hash] : []
    })
    for (const hash of unused) this.#contents.delete(hash)
    if (unused.length > 0) await this.#run(dropText, unused, signal, { firstMs: promptMs })
  }

  /** Outputs and logs of a job that has ended; calls at one time become one. Throws ApiError. */
  async fetch(wanted: WantedFiles): Promise<CollectedFiles> {
    const collected = (await this.#fetch(wanted)).get(wanted.request.id)
    if (collected !== undefined) return collected
    throw new Error(`Nothing was said of ${wanted.request.id}.`)
  }

  async printed(id: JobId, limitBytes: number, signal: AbortSignal): Promise<string> {
    return (await this.#run(printedText, [id, String(limitBytes)], signal, {})).stdout
  }

  async #fetchAll(wanted: readonly WantedFiles[]): Promise<ReadonlyMap<JobId, CollectedFiles>> {
    try {
      return await this.#fetchTogether(wanted)
    } catch (error) {
      if (wanted.length === 1 || !(error instanceof ApiError) || error.reason !== notPacked) throw error
    }
    // One of them cannot be packed: the others can.
    const found = new Map<JobId, CollectedFiles>()
    for (const each of wanted) {
      const one = await this.#fetchTogether([each]).catch((error: unknown) => {
        if (!(error instanceof ApiError) || error.reason !== notPacked) throw error
        return new Map([[each.request.id, unpacked(each, error.message)]])
      })
      for (const [id, files] of one) found.set(id, files)
    }
    return found
  }

  async #fetchTogether(wanted: readonly WantedFiles[]): Promise<ReadonlyMap<JobId, CollectedFiles>> {
    const sortings = new Map<string, Sorting>(
      wanted.map(({ request, places }) => [request.id, sortOutputs(request, places)]),
    )
    const mark = this.#parts.newMark()
    const { stream, whole } = receiveOutputs(
      mark,
      (path, kind) => {
        const [, id = '', below = ''] = /^jobs\/([^/]+)\/(.*)$/s.exec(path) ?? []
        return sortings.get(id)?.place(below, kind)
      },
      () => undefined,
    )
    const paths = wanted.flatMap(({ request }) =>
      keptPaths(request.outputs).map((path) => `jobs/${request.id}/${path}`),
    )
    const stdin = outputsText(paths)
    const words = [String(Buffer.byteLength(stdin))]
    const { exitCode, stderr } = await this.#run(packText, words, this.signal, {
      stdin,
      output: stream,
      firstMs: promptMs,
      mark,
    })
    if (exitCode !== 0)
      throw this.#refusal(notPacked, 'outputs of jobs could not be packed', exitCode, stderr)
    await whole
    return new Map(wanted.map(({ request }) => [request.id, sortings.get(request.id)!.collected()]))
  }

  #refusal(reason: string, what: string, exitCode: number, stderr: string): ApiError {
    const why = stderr.trim() || `exit code ${exitCode}`
    return new ApiError({ status: 0, reason, message: `In the pod ${this.pod.name} ${what}: ${why}` })
  }

  #run(
    text: string,
    words: readonly string[],
    signal: AbortSignal,
    {
      mark,
      ...more
    }: Pick<ExecCommand, 'stdin' | 'output' | 'firstMs' | 'silenceMs'> & { readonly mark?: string },
  ): Promise<ExecResult> {
    const variables = [
      `MOLEHILL_ROOT=${pilotPlaces.root}`,
      ...(mark === undefined ? [] : [`MOLEHILL_MARK=${mark}`]),
    ]
    const argv = ['env', ...variables, 'sh', '-c', text, 'sh', ...words]
    return execInPod(
      this.#parts.cluster,
      { pod: this.pod.name, container: stagingContainers.out, argv, ...more },
      signal,
    )
  }

  async #releaseLater(): Promise<void> {
    const clock = clockOf(this.#parts.now)
    for (let failures = 0; this.#released.size > 0 && !this.signal.aborted;)
      try {
        await clock.wait(failures === 0 ? releaseDelayMs : backOffMs(failures), this.signal)
        await this.flush(this.signal)
      } catch {
        failures += 1
      }
  }

  async #follow(): Promise<void> {
    const { now, warn, newMark } = this.#parts
    for (let failures = 0; !this.signal.aborted;) {
      this.#round = new AbortController()
      const signal = AbortSignal.any([this.signal, this.#round.signal])
      const output = linesInto((lines) => this.#read(lines))
      try {
        await this.#run(followText, [newMark()], signal, { output, firstMs: promptMs, silenceMs })
        failures = 0
      } catch (error) {
        if (this.signal.aborted) return
        if (this.#round.signal.aborted) continue
        failures = this.isListed ? 1 : failures + 1
        if (failures === 3) warn(`The pilot ${this.pod.name} does not answer: ${messageOf(error)}`)
        this.isListed = false
        await clockOf(now)
          .wait(backOffMs(failures), signal)
          .catch(() => undefined)
      }
    }
  }

  #read(lines: readonly string[]): void {
    for (const line of lines) {
      const news = readPilotNews(line)
      if (news === undefined || this.signal.aborted || this.#round.signal.aborted) continue
      if (news.kind === 'content') {
        if (!this.#contents.has(news.hash)) this.#contents.set(news.hash, undefined)
      } else if (news.kind === 'closed') this.isClosed = true
      else if (news.kind === 'listed') this.isListed = true
      this.#parts.told(this, news)
    }
  }
}

function unpacked({ request, places }: WantedFiles, remark: string): CollectedFiles {
  return { ...sortOutputs(request, places).collected(), remark }
}
