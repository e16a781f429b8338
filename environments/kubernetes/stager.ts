import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { JobId, JobRequest } from '../../src/environment/environment.ts'
import { FileChangedError } from '../../src/environment/job-files/tar-stream.ts'
import type { WorkTrees } from '../../src/environment/job-files/work-trees.ts'
import { ApiError } from './api-errors.ts'
import { archiveOf } from './archive.ts'
import { backOffMs } from './clock.ts'
import type { Cluster } from './cluster.ts'
import type { KeptRequests } from './kept-requests.ts'
import type { KubernetesOptions } from './options.ts'
import { bringFiles } from './staging.ts'
import { stagingContainers } from './template.ts'
import type { WirePod } from './wire.ts'

export interface StagerParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions
  readonly requests: KeptRequests
  readonly trees: WorkTrees
  readonly warn: (message: string) => void
}

/** Archives under way at one time: all bytes pass the API server. */
const mostAtOnce = 4

/** Brings files to pods that wait for them, as soon as they are seen to wait, until it is done or they wait no more. */
export class Stager {
  readonly #parts: StagerParts
  readonly #signal: AbortSignal
  /** By pod, so that another pod of the same job gets its own. */
  readonly #known = new Map<string, JobId>()
  readonly #queue: { readonly id: JobId; readonly pod: string; readonly uid: string }[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #failures = new Map<JobId, string>()
  readonly #waiting = new Set<string>()

  constructor(parts: StagerParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
  }

  /** Looks which of these pods wait for files. */
  look(pods: Iterable<{ readonly id: JobId; readonly pod: WirePod }>): void {
    for (const { id, pod } of pods) {
      const { name, uid } = pod.metadata ?? {}
      if (name === undefined || uid === undefined) continue
      if (!isWaiting(pod)) {
        this.#waiting.delete(uid)
        continue
      }
      this.#waiting.add(uid)
      if (this.#known.has(uid)) continue
      this.#known.set(uid, id)
      this.#queue.push({ id, pod: name, uid })
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
    for (const [uid, owner] of this.#known)
      if (owner === id) {
        this.#known.delete(uid)
        this.#waiting.delete(uid)
      }
  }

  removeLogs(directory: string): Promise<void> {
    return rm(directory, { recursive: true, force: true })
  }

  async ended(): Promise<void> {
    this.#queue.length = 0
    await Promise.all(this.#running)
  }

  #work(): void {
    while (this.#running.size < mostAtOnce && !this.#signal.aborted) {
      const next = this.#queue.shift()
      if (next === undefined) return
      const { id, pod, uid } = next
      const work = this.#bring(id, pod, uid)
        .catch((error: unknown) => {
          if (!this.#signal.aborted) this.#failures.set(id, `Its files cannot be read: ${messageOf(error)}`)
        })
        .finally(() => {
          this.#running.delete(work)
          this.#work()
        })
      this.#running.add(work)
    }
  }

  /** Throws where the files cannot be read; whatever the cluster does is tried again. */
  async #bring(id: JobId, pod: string, uid: string): Promise<void> {
    const { cluster, requests, warn } = this.#parts
    const request = requests.read(id)
    if (request === undefined) return
    for (let failures = 1; this.#waiting.has(uid); failures += 1) {
      try {
        await bringFiles(cluster, pod, await this.#archive(request), this.#signal)
        return
      } catch (error) {
        this.#signal.throwIfAborted()
        if (error instanceof FileChangedError) this.#parts.trees.forgetAll()
        else if (!(error instanceof ApiError)) throw error
        else if (failures === 1) warn(`The files of ${id} did not come to the pod ${pod}: ${error.message}`)
        await pause(backOffMs(failures), undefined, { signal: this.#signal })
      }
    }
  }

  #archive(request: JobRequest) {
    const { trees, options } = this.#parts
    const { wallTimeMs } = request.resources
    const { variables, stopGraceMs } = options
    return archiveOf(request, trees, { variables, stopGraceMs, wallTimeMs }, this.#signal)
  }
}

function isWaiting({ metadata, status }: WirePod): boolean {
  const stageIn = status?.initContainerStatuses?.find(({ name }) => name === stagingContainers.in)
  return stageIn?.state?.running !== undefined && metadata?.deletionTimestamp === undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
