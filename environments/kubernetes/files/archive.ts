import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { JobRequest } from '../../../src/environment/environment.ts'
import { contentPath } from '../../../src/environment/job-files/content-store.ts'
import { jobEntries } from '../../../src/environment/job-files/job-entries.ts'
import { jobPath, keyOf } from '../../../src/environment/job-files/places.ts'
import type { Content } from '../../../src/environment/job-files/scan-tree.ts'
import type { FileVersion, TarEntry } from '../../../src/environment/job-files/tar-stream.ts'
import type { WorkTree, WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { segmentsOf } from '../../../src/environment/view.ts'
import { commandText, shellWord } from '../scripts/command-text.ts'
import { podPlaces } from '../scripts/places.ts'
import { startScript } from '../scripts/start-script.ts'

/** Where images hold what `molehill runtime` writes. */
export const runtimeInImage = '/usr/share/molehill'

export interface ArchiveOptions {
  /** Of every job. */
  readonly variables: Readonly<Record<string, string>>
  readonly stopGraceMs: number
  readonly wallTimeMs: number | undefined
  /** Whether what many jobs share is in the image: then it need not travel. */
  readonly hasRuntime: boolean
  /** Hashes of contents that the pod finds in a claim. */
  readonly mounted: ReadonlySet<string>
  /** Gives the address where the pod finds a content; undefined where it is to be brought. */
  readonly store?: ((content: Content) => Promise<string | undefined>) | undefined
}

/**
 * All that a pod needs to run a job, with paths below the volume's root: contents that many jobs share in `shared`, the
 * job's own directory, whose view leads there, and the texts that run it. Throws where something cannot be read.
 */
export async function archiveOf(
  request: JobRequest,
  trees: WorkTrees,
  options: ArchiveOptions,
  signal: AbortSignal,
): Promise<readonly TarEntry[]> {
  const tree = await trees.tree(request.workDirectory, request.linksWithin, signal)
  const shared = new Map<string, Content>()
  for (const { from } of request.shared ?? []) shared.set(from, await trees.shared(from, signal))
  const brought = options.hasRuntime ? [] : shared.values()
  const contents = new Map(
    [tree.content, ...brought]
      .filter(({ hash }) => !options.mounted.has(hash))
      .map((content) => [content.hash, content]),
  )
  const addresses = new Map<string, string>()
  for (const content of contents.values()) {
    const address = await options.store?.(content)
    if (address !== undefined) addresses.set(content.hash, address)
  }
  const isThere = (hash: string): boolean => options.mounted.has(hash) || addresses.has(hash)
  const place = jobPath({ id: request.id, key: keyOf(request.workDirectory) })
  const base = podPlaces.root
  const isInTree = (path: string): boolean => isThere(tree.content.hash) && isLargeIn(tree, path)
  const own = jobEntries({ request, note: '' }, { base, tree, shared, prologue: [], isInTree })
  return [
    { kind: 'directory', path: 'shared' },
    ...[...contents.values()].flatMap((content) => (isThere(content.hash) ? [] : contentEntries(content))),
    ...own.flatMap((entry) =>
      entry.path === `${place}/command`
        ? []
        : [placed(entry, place, 'job', options.hasRuntime ? shared : new Map())],
    ),
    { kind: 'text', path: 'job/command', text: commandText(request, variablesOf(request, options)) },
    { kind: 'text', path: 'outputs', text: outputsText(keptPaths(request.outputs)) },
    ...(addresses.size === 0
      ? []
      : [{ kind: 'text', path: 'contents', text: contentLines(addresses) } as const]),
    { kind: 'text', path: 'start', text: startScript(options) },
  ]
}

function contentLines(addresses: ReadonlyMap<string, string>): string {
  return [...addresses].map(([hash, address]) => `${hash} ${address}\n`).join('')
}

/** What is kept of a job, as paths below its directory in the pod: both streams and its outputs. */
export function keptPaths(outputs: JobRequest['outputs']): readonly string[] {
  return ['stdout', 'stderr', ...outputs.map(({ path }) => `work/${plainPath(path)}`)]
}

/** The path without empty and `.` steps. */
export function plainPath(path: string): string {
  return (segmentsOf(path) ?? []).join('/')
}

/** Shell text that sets the positional parameters to these. */
export function outputsText(paths: readonly string[]): string {
  return `set -- ${paths.map(shellWord).join(' ')}\n`
}

/** Smaller inputs are copied: the job may change them. */
const largeBytes = 2 ** 20
const largeFiles = new WeakMap<Content, ReadonlyMap<string, TarEntry & FileVersion>>()

/** Whether a file of the work directory is large, and still what it was when the directory was read. */
function isLargeIn({ content, pathOf }: WorkTree, path: string): boolean {
  let files = largeFiles.get(content)
  if (files === undefined) {
    const large = content.entries.filter((entry) => entry.kind === 'file' && entry.sizeBytes >= largeBytes)
    files = new Map(large.flatMap((entry) => (entry.kind === 'file' ? [[entry.path, entry]] : [])))
    largeFiles.set(content, files)
  }
  const known = files.get(pathOf(path)?.slice(dirname(contentPath(content)).length + 1) ?? '')
  if (known === undefined) return false
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.size === known.sizeBytes && found.mtime.getTime() === known.modifiedAt.getTime()
}

/** The entry below `to` instead of `place`; a link to what the image has leads there. */
export function placed(
  entry: TarEntry,
  place: string,
  to: string,
  inImage: ReadonlyMap<string, Content>,
): TarEntry {
  const path = `${to}${entry.path.slice(place.length)}`
  if (entry.kind !== 'link') return { ...entry, path }
  const content = [...inImage.values()].find(
    (each) => entry.target === `${podPlaces.root}/${contentPath(each)}`,
  )
  return {
    ...entry,
    path,
    target: content === undefined ? entry.target : `${runtimeInImage}/${contentPath(content)}`,
  }
}

/** A content where all jobs look for it. */
export function contentEntries(content: Content): readonly TarEntry[] {
  const path = contentPath(content)
  const parent = path.slice(0, path.lastIndexOf('/'))
  return [
    { kind: 'directory', path: parent },
    ...content.entries.map((entry) => ({ ...entry, path: `${parent}/${entry.path}` })),
  ]
}

function variablesOf({ id }: JobRequest, { variables }: ArchiveOptions): Readonly<Record<string, string>> {
  return {
    ...variables,
    MOLEHILL_JOB_ID: id,
    MOLEHILL_JOB_DIRECTORY: `${podPlaces.job}/work`,
  }
}
