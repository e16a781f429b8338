import type { JobRequest } from '../../../src/environment/environment.ts'
import { jobEntries } from '../../../src/environment/job-files/job-entries.ts'
import { jobPath, keyOf } from '../../../src/environment/job-files/places.ts'
import type { Content } from '../../../src/environment/job-files/scan-tree.ts'
import type { TarEntry } from '../../../src/environment/job-files/tar-stream.ts'
import type { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { contentEntries, placed } from '../files/archive.ts'
import { commandText } from '../scripts/command-text.ts'
import type { KubernetesOptions } from '../options.ts'
import { pilotPlaces } from './places.ts'
import { messageOf } from '../../../src/problem.ts'

/** A job for a pilot. */
export interface SentJob {
  readonly request: JobRequest
  readonly slots: number
}

export interface Delivery {
  /** What goes to the pilot, its list last. */
  readonly entries: readonly TarEntry[]
  /** Hashes of what many jobs share that comes along, with the executions that use it; none where all may. */
  readonly contents: ReadonlyMap<string, string | undefined>
  /** Why files of jobs cannot be read, which are left out. */
  readonly unreadable: ReadonlyMap<JobRequest['id'], string>
}

/** All that a pilot needs to run these jobs, without what it has already. Throws only when aborted. */
export async function deliveryOf(
  jobs: readonly SentJob[],
  { has, trees, options }: { has: (hash: string) => boolean; trees: WorkTrees; options: KubernetesOptions },
  signal: AbortSignal,
): Promise<Delivery> {
  const contents = new Map<string, { readonly content: Content; readonly key: string | undefined }>()
  const unreadable = new Map<JobRequest['id'], string>()
  const own: TarEntry[] = []
  const lines: string[] = []
  for (const { request, slots } of jobs) {
    const { id, workDirectory, linksWithin, resources } = request
    try {
      const tree = await trees.tree(workDirectory, linksWithin, signal)
      const shared = new Map<string, Content>()
      for (const { from } of request.shared ?? []) shared.set(from, await trees.shared(from, signal))
      const entries = entriesOf(request, { tree, shared }, options)
      contents.set(tree.content.hash, { content: tree.content, key: keyOf(workDirectory) })
      if (!options.hasRuntime)
        for (const content of shared.values())
          if (!contents.has(content.hash)) contents.set(content.hash, { content, key: undefined })
      own.push(...entries)
      lines.push(`${id} ${slots} ${Math.ceil((resources.wallTimeMs ?? 0) / 1000)}\n`)
    } catch (error) {
      signal.throwIfAborted()
      unreadable.set(id, `Its files cannot be read: ${messageOf(error)}`)
    }
  }
  const brought = [...contents.values()].filter(({ content }) => !has(content.hash))
  return {
    entries: [
      ...(brought.length === 0 ? [] : [{ kind: 'directory', path: 'shared' } as const]),
      ...brought.flatMap(({ content }) => contentEntries(content)),
      { kind: 'directory', path: 'jobs' },
      ...own,
      { kind: 'text', path: 'list', text: lines.join('') },
    ],
    contents: new Map([...contents].map(([hash, { key }]) => [hash, key])),
    unreadable,
  }
}

function entriesOf(
  request: JobRequest,
  { tree, shared }: Pick<Parameters<typeof jobEntries>[1], 'tree' | 'shared'>,
  { hasRuntime, variables }: KubernetesOptions,
): readonly TarEntry[] {
  const { id, resources } = request
  const place = jobPath({ id, key: keyOf(request.workDirectory) })
  const to = `jobs/${id}`
  const entries = jobEntries({ request, note: '' }, { base: pilotPlaces.root, tree, shared, prologue: [] })
  const inImage = hasRuntime ? shared : new Map<string, Content>()
  const known = {
    ...variables,
    MOLEHILL_JOB_ID: id,
    MOLEHILL_JOB_DIRECTORY: `${pilotPlaces.root}/${to}/work`,
  }
  const { memoryBytes } = resources
  const limit = memoryBytes === undefined ? '' : `ulimit -d ${Math.ceil(memoryBytes / 1024)}\n`
  return [
    ...entries
      .filter(({ path }) => path !== `${place}/command`)
      .map((entry) => placed(entry, place, to, inImage)),
    { kind: 'text', path: `${to}/command`, text: `${limit}${commandText(request, known)}` },
  ]
}
