import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isJobId, type JobId, type JobRequest } from '../../../src/environment/environment.ts'
import { writeFileDurably } from '../../../src/files/durable-file.ts'

/**
 * Requests of jobs whose pods have to get their files, or keep outputs for us, and which pod got them: on the disk,
 * since a pod may ask for its files in the next life of the server.
 */
export class KeptRequests {
  readonly #requests: string
  readonly #pods: string
  readonly #servedPods: Map<JobId, string>

  constructor(directory: string) {
    this.#requests = join(directory, 'requests')
    this.#pods = join(directory, 'pods')
    const names = namesIn(this.#requests)
    const known = new Set(names)
    for (const id of namesIn(this.#pods)) if (!known.has(id)) rmSync(join(this.#pods, id))
    const served = names.flatMap((id) => {
      const uid = textIn(join(this.#pods, id))
      return uid === undefined ? [] : [[id, uid] as const]
    })
    this.#servedPods = new Map(served)
  }

  keep(request: JobRequest): Promise<void> {
    return writeFileDurably(join(this.#requests, request.id), JSON.stringify(request), 0o600)
  }

  /** Undefined where there is none. What we wrote ourselves is not checked again. */
  read(id: JobId): JobRequest | undefined {
    const text = textIn(join(this.#requests, id))
    return text === undefined ? undefined : (JSON.parse(text) as JobRequest)
  }

  /** UID of the one pod that got the files of the job, or may have. A second one would be a second run. */
  servedPod(id: JobId): string | undefined {
    return this.#servedPods.get(id)
  }

  /** Returns when no other life of the server can serve another pod. */
  async serve(id: JobId, uid: string): Promise<void> {
    this.#servedPods.set(id, uid)
    await writeFileDurably(join(this.#pods, id), uid, 0o600)
    // It was forgotten meanwhile.
    if (!this.#servedPods.has(id)) this.forget([id])
  }

  forget(ids: Iterable<JobId>): void {
    for (const id of ids) {
      this.#servedPods.delete(id)
      rmSync(join(this.#pods, id), { force: true })
      rmSync(join(this.#requests, id), { force: true })
    }
  }

  /** Of all jobs that have a request. */
  ids(): readonly JobId[] {
    return readdirSync(this.#requests).filter(isJobId)
  }

  ofExecution(workDirectory: string): readonly JobId[] {
    return this.ids().filter((id) => this.read(id)?.workDirectory === workDirectory)
  }
}

/** Makes the directory, and removes what an earlier life of the server was writing when it ended. */
function namesIn(directory: string): readonly JobId[] {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const names = readdirSync(directory)
  for (const name of names) if (!isJobId(name)) rmSync(join(directory, name), { force: true })
  return names.filter(isJobId)
}

function textIn(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
