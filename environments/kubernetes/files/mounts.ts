import { EnvironmentError, type JobId, type JobRequest } from '../../../src/environment/environment.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import type { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { refusedInClaim } from './carrier.ts'
import { jobName } from '../pods/names.ts'
import type { NeededContent, Volume } from './volume.ts'
import { messageOf } from '../../../src/problem.ts'

export interface MountsParts {
  readonly volume: Volume
  readonly trees: WorkTrees
  /** Whether the image holds what functions need. */
  readonly hasRuntime: boolean
  readonly warn: (message: string) => void
}

/** What a job may mount, by its hash, or why it has to wait. */
export type Mounts =
  | { readonly kind: 'ready'; readonly hashes: readonly string[] }
  | { readonly kind: 'deferred'; readonly reason: string }

/**
 * Sees to it that what jobs share lies in the claim. Jobs whose files cannot be read mount nothing: whoever brings their
 * files tells why. Throws ApiError, and the signal's reason.
 */
export async function prepareMounts(
  requests: readonly JobRequest[],
  parts: MountsParts,
  signal: AbortSignal,
): Promise<ReadonlyMap<JobId, Mounts>> {
  const mounts = new Map<JobId, Mounts>()
  for (const [workDirectory, ofExecution] of Map.groupBy(requests, (request) => request.workDirectory)) {
    const result = await prepareExecution(workDirectory, ofExecution, parts, signal)
    for (const request of ofExecution)
      mounts.set(
        request.id,
        result.kind === 'deferred' ? result : { kind: 'ready', hashes: hashesFor(request, result) },
      )
  }
  return mounts
}

interface Prepared {
  readonly kind: 'ready'
  /** Undefined where the work directory could not be brought. */
  readonly tree: string | undefined
  /** Hashes by path on the server. */
  readonly shared: ReadonlyMap<string, string>
}

async function prepareExecution(
  workDirectory: string,
  requests: readonly JobRequest[],
  { volume, trees, hasRuntime, warn }: MountsParts,
  signal: AbortSignal,
): Promise<Prepared | (Mounts & { readonly kind: 'deferred' })> {
  try {
    const tree = await trees.tree(workDirectory, requests[0]?.linksWithin, signal)
    const froms = new Set(requests.flatMap(({ shared = [] }) => shared.map(({ from }) => from)))
    const shared = new Map<string, string>()
    const needed: NeededContent[] = [{ content: tree.content, isKept: false }]
    for (const from of hasRuntime ? [] : froms) {
      const content = await trees.shared(from, signal)
      shared.set(from, content.hash)
      needed.push({ content, isKept: true })
    }
    const key = keyOf(workDirectory)
    await volume.ensure(key, needed, signal)
    await volume.makeKept(
      key,
      requests.map(({ id }) => jobName(id)),
      signal,
    )
    return { kind: 'ready', tree: tree.content.hash, shared }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof EnvironmentError || (error instanceof ApiError && error.reason === refusedInClaim))
      return { kind: 'deferred', reason: error.message }
    if (error instanceof ApiError) throw error
    // A file that cannot be read, or is not what it was when the directory was read.
    trees.forgetAll()
    warn(`The files of an execution go to each pod: ${messageOf(error)}`)
    return { kind: 'ready', tree: undefined, shared: new Map() }
  }
}

function hashesFor({ shared = [] }: JobRequest, prepared: Prepared): readonly string[] {
  const own = shared.flatMap(({ from }) => prepared.shared.get(from) ?? [])
  return [...new Set([...(prepared.tree === undefined ? [] : [prepared.tree]), ...own])]
}
