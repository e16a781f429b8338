import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isJobId, type JobId, type JobRequest } from '../../src/environment/environment.ts'
import { writeFileDurably } from '../../src/files/durable-file.ts'

/**
 * Requests of jobs whose pods have to get their files, or keep outputs for us: on the disk, since a pod may ask for its
 * files in the next life of the server.
 */
export class KeptRequests {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = join(directory, 'requests')
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
  }

  keep(request: JobRequest): Promise<void> {
    return writeFileDurably(this.#pathOf(request.id), JSON.stringify(request), 0o600)
  }

  /** Undefined where there is none. What we wrote ourselves is not checked again. */
  read(id: JobId): JobRequest | undefined {
    try {
      return JSON.parse(readFileSync(this.#pathOf(id), 'utf8')) as JobRequest
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    }
  }

  forget(ids: Iterable<JobId>): void {
    for (const id of ids) rmSync(this.#pathOf(id), { force: true })
  }

  ofExecution(workDirectory: string): readonly JobId[] {
    const ids = readdirSync(this.#directory).filter(isJobId)
    return ids.filter((id) => this.read(id)?.workDirectory === workDirectory)
  }

  #pathOf(id: JobId): string {
    return join(this.#directory, id)
  }
}
