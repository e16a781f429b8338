import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { JobId, OutputFile } from '../../src/environment/environment.ts'
import type { Workunit } from '../../src/environment/volunteers.ts'
import { writeFileDurably } from '../../src/files/durable-file.ts'

/** A workunit that was filed, or is about to be, and the jobs in it. */
export interface FiledWork {
  readonly version: 1
  readonly workunit: Workunit
  readonly workDirectory: string
  readonly jobs: readonly FiledJob[]
}

export interface FiledJob {
  readonly id: JobId
  readonly outputs: readonly OutputFile[]
  /** Its result is ignored. */
  readonly isCancelled?: boolean
  readonly isReleased?: boolean
}

/** Where a job is: the workunit, and its place in it, from 1. */
export interface JobPlace {
  readonly work: FiledWork
  readonly position: number
  readonly job: FiledJob
}

/** What was filed with the project and is not released yet: on the disk, since hosts may take days. */
export class FiledWorks {
  readonly #directory: string
  readonly #works = new Map<string, FiledWork>()
  readonly #places = new Map<JobId, { readonly name: string; readonly position: number }>()

  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(directory)) {
      const path = join(directory, name)
      // What an earlier life of the server was writing when it ended.
      if (name.startsWith('.')) rmSync(path, { force: true })
      // What we wrote ourselves is not checked again.
      else this.#remember(JSON.parse(readFileSync(path, 'utf8')) as FiledWork)
    }
  }

  /** On the disk when it returns. */
  async keep(work: FiledWork): Promise<void> {
    this.#remember(work)
    await writeFileDurably(join(this.#directory, work.workunit.name), JSON.stringify(work), 0o600)
  }

  find(id: JobId): JobPlace | undefined {
    const place = this.#places.get(id)
    const work = place === undefined ? undefined : this.#works.get(place.name)
    const job = work?.jobs[(place?.position ?? 0) - 1]
    return place === undefined || work === undefined || job === undefined
      ? undefined
      : { work, position: place.position, job }
  }

  get(name: string): FiledWork | undefined {
    return this.#works.get(name)
  }

  ofExecution(workDirectory: string): readonly FiledWork[] {
    return [...this.#works.values()].filter((work) => work.workDirectory === workDirectory)
  }

  forget({ workunit, jobs }: FiledWork): void {
    this.#works.delete(workunit.name)
    for (const { id } of jobs) this.#places.delete(id)
    rmSync(join(this.#directory, workunit.name), { force: true })
  }

  #remember(work: FiledWork): void {
    const { name } = work.workunit
    this.#works.set(name, work)
    for (const [index, { id }] of work.jobs.entries()) this.#places.set(id, { name, position: index + 1 })
  }
}
