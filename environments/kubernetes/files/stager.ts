import { setTimeout as pause } from 'node:timers/promises'
import { EnvironmentError, type JobId, type JobRequest } from '../../../src/environment/environment.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import type { Content } from '../../../src/environment/job-files/scan-tree.ts'
import { FileChangedError, type TarEntry } from '../../../src/environment/job-files/tar-stream.ts'
import type { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { archiveOf } from './archive.ts'
import { backOffMs } from '../cluster/clock.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { KeptRequests } from '../pods/kept-requests.ts'
import { mountedIn } from '../pods/job-body.ts'
import { cancelledAnnotation } from '../pods/names.ts'
import { leastBytes, mostBytes, type ObjectStorage } from './object-storage.ts'
import type { KubernetesOptions } from '../options.ts'
import { bringFiles, notUnpacked } from './staging.ts'
import { stagingContainers } from '../pods/template.ts'
import type { WirePod } from '../cluster/wire.ts'
import { messageOf } from '../../../src/problem.ts'

export interface StagerParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions
  readonly requests: KeptRequests
  readonly trees: WorkTrees
  /** Where pods find large contents, if anywhere. */
  readonly storage?: ObjectStorage | undefined
  readonly warn: (message: string) => void
}

/** A pod as the cluster has it now, or had it before it was gone. */
export interface OwnedPod {
  readonly id: JobId
  readonly pod: WirePod
  readonly isGone: boolean
}

interface Staging {
  readonly id: JobId
  readonly pod: string
  readonly uid: string
  /** Hashes of contents that it finds in a claim. */
  readonly mounted: ReadonlySet<string>
  /** Aborts when the pod waits no more. */
  readonly stop: AbortController
  failures: number
}

/** Files that cannot be read, or an archive that the pod cannot unpack. */
class HopelessError extends Error {}

/** Archives under way at one time: all bytes pass the API server. */
const mostAtOnce = 4
/** How long after the pod has given up an address is still good. */
const spareMs = 600_000
/** How often files are sent that change while they are read, or for which the pod has no room. */
export const mostTries = 5

/** Brings files to pods that wait for them, as soon as they are seen to wait, until it is done or they wait no more. */
export class Stager {
  readonly #parts: StagerParts
  readonly #signal: AbortSignal
  /** Jobs whose pods wait, those that have got all or never will included. */
  readonly #stagings = new Map<JobId, Staging>()
  readonly #queue: Staging[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #pauses = new Set<Promise<void>>()
  readonly #failures = new Map<JobId, string>()

  constructor(parts: StagerParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
  }

  /** Looks which of these pods wait for files. */
  look(pods: Iterable<OwnedPod>): void {
    for (const { id, pod, isGone } of pods) {
      const { name, uid } = pod.metadata ?? {}
      if (name === undefined || uid === undefined) continue
      const staging = this.#stagings.get(id)
      if (isGone || !isWaiting(pod)) {
        if (staging?.uid === uid) this.#end(staging)
      } else if (staging === undefined && (this.#parts.requests.servedPod(id) ?? uid) === uid) {
        const begun = {
          id,
          pod: name,
          uid,
          mounted: mountedIn(pod),
          stop: new AbortController(),
          failures: 0,
        }
        this.#stagings.set(id, begun)
        this.#queue.push(begun)
      }
    }
    this.#work()
  }

  /** Why files of a job can never be brought. */
  failureOf(id: JobId): string | undefined {
    return this.#failures.get(id)
  }

  /** The job needs nothing any more. */
  forget(id: JobId): void {
    this.#failures.delete(id)
    const staging = this.#stagings.get(id)
    if (staging !== undefined) this.#end(staging)
  }

  async ended(): Promise<void> {
    this.#queue.length = 0
    await Promise.all([...this.#running, ...this.#pauses])
  }

  #end(staging: Staging): void {
    this.#stagings.delete(staging.id)
    staging.stop.abort(new EnvironmentError(`The pod ${staging.pod} waits for no files any more.`))
  }

  #work(): void {
    while (this.#running.size < mostAtOnce && !this.#signal.aborted) {
      const next = this.#queue.shift()
      if (next === undefined) return
      if (next.stop.signal.aborted) continue
      const work = this.#bring(next)
        .catch((error: unknown) => this.#failed(next, error))
        .finally(() => {
          this.#running.delete(work)
          this.#work()
        })
      this.#running.add(work)
    }
  }

  async #bring(staging: Staging): Promise<void> {
    const { cluster, requests, trees } = this.#parts
    const { id, pod, uid, stop } = staging
    const request = requests.read(id)
    if (request === undefined) {
      // Its submit may be under way once more: then we are told to look again.
      this.#end(staging)
      return
    }
    const either = AbortSignal.any([this.#signal, stop.signal])
    // Not the job's own signal: what is read here serves other jobs too.
    const archive = requestArchive(this.#parts, request, staging.mounted, this.#signal)
    const entries = await archive.catch((error: unknown) => {
      if (mayGoAgain(error, trees)) throw error
      throw new HopelessError(unreadable(error), { cause: error })
    })
    if (stop.signal.aborted) return
    await requests.serve(id, uid)
    try {
      await bringFiles(cluster, pod, entries, either)
    } catch (error) {
      // A file is not what it was when the directory was read.
      if (!isOfCluster(error)) trees.forgetAll()
      throw error
    }
  }

  /** Whatever the cluster does is tried again as long as the pod waits; meanwhile others have their turn. */
  #failed(staging: Staging, error: unknown): void {
    const { id, pod, stop } = staging
    if (this.#signal.aborted || stop.signal.aborted) return
    staging.failures += 1
    const isOurs = !isOfCluster(error) || (error instanceof ApiError && error.reason === notUnpacked)
    if (error instanceof HopelessError || (isOurs && staging.failures >= mostTries)) {
      this.#failures.set(id, error instanceof HopelessError ? error.message : hopeless(error))
      return
    }
    // The first may be none: a container that has got all may end before the program that brought it (137).
    if (staging.failures === 2)
      this.#parts.warn(`The files of ${id} did not come to the pod ${pod}: ${messageOf(error)}`)
    const again = this.#queueLater(staging).finally(() => this.#pauses.delete(again))
    this.#pauses.add(again)
  }

  async #queueLater(staging: Staging): Promise<void> {
    const signal = AbortSignal.any([this.#signal, staging.stop.signal])
    const isDue = await pause(backOffMs(staging.failures), true, { signal }).catch(() => false)
    if (!isDue) return
    this.#queue.push(staging)
    this.#work()
  }
}

/** What a pod gets that finds these contents in a claim. Throws EnvironmentError where an object storage takes nothing. */
export function requestArchive(
  { trees, options, storage }: Pick<StagerParts, 'trees' | 'options' | 'storage'>,
  request: JobRequest,
  mounted: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<readonly TarEntry[]> {
  const { wallTimeMs } = request.resources
  const { variables, stopGraceMs, hasRuntime, stagingLimit } = options
  const key = keyOf(request.workDirectory)
  const store = async (content: Content): Promise<string | undefined> =>
    content.bytes < leastBytes || content.bytes > mostBytes
      ? undefined
      : storage?.place(key, content, stagingLimit + spareMs)
  return archiveOf(request, trees, { variables, stopGraceMs, wallTimeMs, hasRuntime, mounted, store }, signal)
}

/** Whether reading files again may do better: the storage is away, or a file is not what it was. */
export function mayGoAgain(error: unknown, trees: WorkTrees): boolean {
  if (error instanceof FileChangedError) trees.forgetAll()
  return error instanceof FileChangedError || error instanceof EnvironmentError
}

function isWaiting({ metadata, status }: WirePod): boolean {
  const stageIn = status?.initContainerStatuses?.find(({ name }) => name === stagingContainers.in)
  return (
    stageIn?.state?.running !== undefined &&
    metadata?.deletionTimestamp === undefined &&
    metadata?.annotations?.[cancelledAnnotation] === undefined
  )
}

/** Not of our files. */
function isOfCluster(error: unknown): boolean {
  return error instanceof ApiError || error instanceof EnvironmentError
}

export function unreadable(error: unknown): string {
  return `Its files cannot be read: ${messageOf(error)}`
}

export function hopeless(error: unknown): string {
  return `Its files could not be brought in ${mostTries} tries: ${messageOf(error)}`
}
