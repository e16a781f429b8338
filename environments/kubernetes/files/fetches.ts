import { Readable } from 'node:stream'
import { isJobId, type JobId } from '../../../src/environment/environment.ts'
import type { AskedFiles, OpenedFiles } from '../../../src/environment/file-desk.ts'
import { tarBytes, tarLength, type TarEntry } from '../../../src/environment/job-files/tar-stream.ts'
import type { FetchTokens } from './fetch-token.ts'
import { mountedIn } from '../pods/job-body.ts'
import { hasEnded, isCancelled } from '../pods/pod-states.ts'
import { messageOf } from '../../../src/problem.ts'
import {
  hopeless,
  mayGoAgain,
  mostTries,
  requestArchive,
  unreadable,
  type OwnedPod,
  type StagerParts,
} from './stager.ts'
import { stagingContainers } from '../pods/template.ts'
import type { WirePod } from '../cluster/wire.ts'

export interface FetchesParts extends StagerParts {
  readonly tokens: FetchTokens
  /** Pods of a job that have been seen. */
  readonly podsOf: (id: JobId) => readonly WirePod[]
}

/** Archives under way at one time; more are told to come again. */
const mostAtOnce = 64

/** Gives pods the files that they ask for themselves, each as long as it waits for them. */
export class Fetches {
  readonly #parts: FetchesParts
  readonly #signal: AbortSignal
  readonly #streams = new Map<JobId, Set<Readable>>()
  readonly #failures = new Map<JobId, string>()
  readonly #changes = new Map<JobId, number>()
  #underWay = 0
  #told = ''

  constructor(parts: FetchesParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
    signal.addEventListener('abort', () => this.#endAll(), { once: true })
  }

  async open({ job, token, asker }: AskedFiles): Promise<OpenedFiles> {
    const { tokens, requests, podsOf } = this.#parts
    if (!isJobId(job) || !tokens.isOf(job, token)) return { kind: 'refused' }
    const request = requests.read(job)
    if (request === undefined) return { kind: 'over', reason: 'The job has ended, or was never there.' }
    const pod = podsOf(job).find(({ metadata }) => metadata?.uid === asker)
    if (pod === undefined) return { kind: 'later', reason: 'The pod has not been seen yet.' }
    if ((requests.servedPod(job) ?? asker) !== asker)
      return { kind: 'over', reason: 'Another pod of the job has got its files.' }
    if (!mayFetch(pod)) return { kind: 'over', reason: 'The pod needs no files any more.' }
    if (this.#underWay >= mostAtOnce) return { kind: 'later', reason: 'Many jobs fetch their files now.' }
    let entries: readonly TarEntry[]
    try {
      entries = await requestArchive(this.#parts, request, mountedIn(pod), this.#signal)
    } catch (error) {
      this.#signal.throwIfAborted()
      if (mayGoAgain(error, this.#parts.trees)) {
        this.#tell(messageOf(error))
        return { kind: 'later', reason: 'The files of the job cannot be had now.' }
      }
      this.#failures.set(job, unreadable(error))
      return { kind: 'over', reason: 'The files of the job cannot be read.' }
    }
    await requests.serve(job, asker)
    const content = Readable.from(this.#bytes(job, entries), { objectMode: false })
    this.#remember(job, content)
    return { kind: 'files', bytes: tarLength(entries), content }
  }

  /** Looks which of these pods are gone: what is on its way to them ends. */
  look(pods: Iterable<OwnedPod>): void {
    for (const { id, isGone } of pods) if (isGone) this.#end(id)
  }

  /** Why files of a job can never be given. */
  failureOf(id: JobId): string | undefined {
    return this.#failures.get(id)
  }

  /** The job needs nothing any more. */
  forget(id: JobId): void {
    this.#failures.delete(id)
    this.#changes.delete(id)
    this.#end(id)
  }

  async ended(): Promise<void> {
    this.#endAll()
  }

  async *#bytes(id: JobId, entries: readonly TarEntry[]): AsyncGenerator<Buffer> {
    this.#underWay += 1
    try {
      yield* tarBytes(entries)
    } catch (error) {
      // A file is not what it was when the directory was read.
      this.#parts.trees.forgetAll()
      const changes = (this.#changes.get(id) ?? 0) + 1
      this.#changes.set(id, changes)
      if (changes >= mostTries) this.#failures.set(id, hopeless(error))
      throw error
    } finally {
      this.#underWay -= 1
    }
  }

  /** Once in a row: all pods that wait ask again and again. */
  #tell(message: string): void {
    if (message === this.#told) return
    this.#told = message
    this.#parts.warn(`Pods wait for their files: ${message}`)
  }

  #remember(id: JobId, content: Readable): void {
    const streams = this.#streams.get(id) ?? new Set()
    this.#streams.set(id, streams.add(content))
    content.once('close', () => {
      streams.delete(content)
      if (streams.size === 0 && this.#streams.get(id) === streams) this.#streams.delete(id)
    })
  }

  #end(id: JobId): void {
    for (const stream of this.#streams.get(id) ?? [])
      stream.destroy(new Error(`Nobody needs the files of ${id} any more.`))
  }

  #endAll(): void {
    for (const id of this.#streams.keys()) this.#end(id)
  }
}

/** Whether the first container of the pod is still to come, or waits. */
function mayFetch(pod: WirePod): boolean {
  const stageIn = pod.status?.initContainerStatuses?.find(({ name }) => name === stagingContainers.in)
  const isLeaving = pod.metadata?.deletionTimestamp !== undefined || isCancelled(pod) || hasEnded(pod)
  return !isLeaving && stageIn?.state?.terminated === undefined
}
