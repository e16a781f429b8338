import type { JobRequest, SubmitOutcome } from '../../src/environment/environment.ts'
import { keyOf } from '../../src/environment/job-files/places.ts'
import type { Content } from '../../src/environment/job-files/scan-tree.ts'
import { FileChangedError } from '../../src/environment/job-files/tar-stream.ts'
import type { WorkTrees } from '../../src/environment/job-files/work-trees.ts'
import type { Replication, Workunit, WorkunitInput } from '../../src/environment/volunteers.ts'
import { join } from 'node:path'
import type { FiledWork } from './filed-work.ts'
import { slotNames } from './launcher-script.ts'
import type { BoincOptions } from './options.ts'
import { packEntries, type PackedFile } from './pack-entries.ts'
import { UnservedError, type Programs } from './programs.ts'
import { contentEntries, taskEntries } from './task-archive.ts'

export interface FilingParts {
  readonly environment: string
  readonly options: BoincOptions
  readonly programs: Programs
  readonly trees: WorkTrees
  /** For what hosts fetch, by execution. */
  readonly directory: string
}

/** A workunit that can be filed, or why its jobs cannot run now, or ever. */
export type Prepared =
  { readonly kind: 'work'; readonly work: FiledWork } | Exclude<SubmitOutcome, { readonly kind: 'accepted' }>

const hourMs = 3_600_000
const usualMemoryBytes = 512 * 1024 ** 2
/** So that a new workunit of the execution need not send it again. */
const treeKeptMs = 24 * hourMs

/** Packs what jobs need and says how they are to be computed. */
export class Filing {
  readonly #parts: FilingParts
  /** The work directory of each execution, packed once. */
  readonly #packedTrees = new Map<string, Promise<PackedFile>>()

  constructor(parts: FilingParts) {
    this.#parts = parts
  }

  /** Where files of an execution lie that hosts fetch. */
  directoryOf(workDirectory: string): string {
    return join(this.#parts.directory, keyOf(workDirectory))
  }

  forget(workDirectory: string): void {
    this.#packedTrees.delete(workDirectory)
    this.#parts.trees.forget(workDirectory)
  }

  /** Of alike jobs. `jobMs` is how long one takes, where that is known. Throws EnvironmentError where nothing can be signed. */
  async prepare(
    requests: readonly JobRequest[],
    jobMs: number | undefined,
    signal: AbortSignal,
  ): Promise<Prepared> {
    const [first] = requests
    if (first === undefined) throw new Error('expected at least one job')
    try {
      return { kind: 'work', work: await this.#workOf(first, requests, jobMs, signal) }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof UnservedError) return { kind: 'rejected', reason: error.message }
      if (error instanceof FileChangedError) {
        this.forget(first.workDirectory)
        return { kind: 'deferred', reason: error.message }
      }
      if (error instanceof Error && 'syscall' in error)
        return { kind: 'rejected', reason: `The files of the job cannot be packed: ${error.message}` }
      throw error
    }
  }

  async #workOf(
    first: JobRequest,
    requests: readonly JobRequest[],
    jobMs: number | undefined,
    signal: AbortSignal,
  ): Promise<FiledWork> {
    const { options, programs, trees, environment } = this.#parts
    const { workDirectory, linksWithin } = first
    const directory = this.directoryOf(workDirectory)
    const tree = await trees.tree(workDirectory, linksWithin, signal)
    const shared = new Map<string, Content>()
    for (const { from } of first.shared ?? []) shared.set(from, await trees.shared(from, signal))
    const application = await programs.application([...shared.values()], signal)
    const packedTree = await this.#packTree(workDirectory, () =>
      packEntries(contentEntries(tree.content), directory, 'in', signal),
    )
    const entries = taskEntries(
      requests,
      { tree, shared },
      { resultBytes: options.results, diskBytes: options.disk, variables: options.variables },
    )
    const jobs = await packEntries(entries, directory, 'in', signal)
    const workunit: Workunit = {
      name: first.id,
      environment,
      application,
      inputs: [{ ...inputOf(packedTree, slotNames.tree), keptMs: treeKeptMs }, inputOf(jobs, slotNames.jobs)],
      outputBytesAtMost: options.results,
      ...amounts(requests, jobMs, options),
      replication: replicationOf(options, first.hasComparison === true),
    }
    return {
      version: 1,
      workunit,
      workDirectory,
      jobs: requests.map(({ id, outputs }) => ({ id, outputs })),
    }
  }

  async #packTree(workDirectory: string, make: () => Promise<PackedFile>): Promise<PackedFile> {
    const found = this.#packedTrees.get(workDirectory)
    if (found !== undefined) return found
    const made = make()
    this.#packedTrees.set(workDirectory, made)
    made.catch(() => this.#packedTrees.delete(workDirectory))
    return made
  }
}

function inputOf({ name, path, bytes, md5 }: PackedFile, openName: string): WorkunitInput {
  return { name, openName, path, bytes, md5 }
}

function amounts(requests: readonly JobRequest[], jobMs: number | undefined, options: BoincOptions) {
  const { cpus = 1, memoryBytes = usualMemoryBytes, wallTimeMs } = requests[0]?.resources ?? {}
  const count = requests.length
  return {
    estimatedMs: Math.max(1000, count * Math.min(jobMs ?? options.usualTime, wallTimeMs ?? Infinity)),
    // The launcher ends each job in its time. Nothing but that may end a host's task, which would keep it away.
    wallTimeMs: wallTimeMs === undefined ? 4 * options.deadline : 2 * count * wallTimeMs + hourMs,
    memoryBytes,
    // Archives and what they hold lie beside each other.
    diskBytes: 2 * options.disk + 2 * options.results,
    cpus,
    deadlineMs: options.deadline,
  }
}

function replicationOf(options: BoincOptions, hasComparison: boolean): Replication {
  const { quorum, copies = quorum, maxCopies = Math.max(3, 2 * copies + 1), agree } = options
  const tolerance = agree && ({ kind: 'numbers', ...agree } as const)
  const agreement = hasComparison ? ({ kind: 'asked' } as const) : tolerance
  return {
    target: copies,
    quorum,
    errorsAtMost: options.maxErrors,
    copiesAtMost: maxCopies,
    isHomogeneous: options.homogeneous,
    ...(agreement !== undefined && { agreement }),
  }
}
