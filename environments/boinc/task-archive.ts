import { dirname, relative } from 'node:path'
import type { JobRequest } from '../../src/environment/environment.ts'
import { contentPath } from '../../src/environment/job-files/content-store.ts'
import { jobEntries } from '../../src/environment/job-files/job-entries.ts'
import { jobPath, keyOf } from '../../src/environment/job-files/places.ts'
import type { Content } from '../../src/environment/job-files/scan-tree.ts'
import type { TarEntry } from '../../src/environment/job-files/tar-stream.ts'
import type { WorkTree } from '../../src/environment/job-files/work-trees.ts'
import { segmentsOf } from '../../src/environment/view.ts'
import { comparisonText } from '../../src/volunteers/comparison.ts'
import { commandText, outputsText } from './shell-text.ts'

export interface TaskOptions {
  /** Largest archive of results. */
  readonly resultBytes: number
  readonly diskBytes: number
  /** Of every job. */
  readonly variables: Readonly<Record<string, string>>
}

/** What the jobs of a task see besides their own files. */
export interface TaskSurroundings {
  readonly tree: WorkTree
  /** By path on the server. */
  readonly shared: ReadonlyMap<string, Content>
}

/** Stands for the task's working directory until links are made relative to where they lie. */
const slot = '/slot'

/**
 * The archive `jobs.tar.gz` of a task, as the launcher expects it: see `launcherScript`. Throws the system's error where
 * an input cannot be read.
 */
export function taskEntries(
  requests: readonly JobRequest[],
  surroundings: TaskSurroundings,
  { resultBytes, diskBytes, variables }: TaskOptions,
): readonly TarEntry[] {
  return [
    { kind: 'text', path: 'plan', text: `jobs ${requests.length}\nresult ${resultBytes}\n` },
    { kind: 'directory', path: 'jobs' },
    ...requests.flatMap((request, index) => {
      const place = `jobs/${index + 1}`
      const { wallTimeMs, memoryBytes } = request.resources
      const limits = [
        ...(wallTimeMs === undefined ? [] : [`wall ${Math.ceil(wallTimeMs / 1000)}`]),
        ...(memoryBytes === undefined ? [] : [`memory ${memoryBytes}`]),
        `disk ${Math.ceil(diskBytes / 1024)}`,
      ]
      return [
        ...viewEntries(request, surroundings, place),
        { kind: 'text', path: `${place}/command`, text: commandText(request, variables) },
        {
          kind: 'text',
          path: `${place}/outputs`,
          text: outputsText(request.outputs.map(({ path }) => plainPath(path))),
        },
        { kind: 'text', path: `${place}/limits`, text: `${limits.join('\n')}\n` },
        { kind: 'text', path: `${place}/compared`, text: comparisonOf(request) },
      ] as const
    }),
  ]
}

/** A path without needless dots and slashes. */
function plainPath(path: string): string {
  return (segmentsOf(path) ?? []).join('/')
}

function comparisonOf({ outputs, returnsPrinted }: JobRequest): string {
  return comparisonText({
    comparesPrinted: returnsPrinted === true,
    varying: outputs.flatMap(({ varies }, index) => (varies === true ? [index + 1] : [])),
  })
}

/** The job's view of the work directory, with links that lead from where it will lie to what came with other archives. */
function viewEntries(
  request: JobRequest,
  surroundings: TaskSurroundings,
  place: string,
): readonly TarEntry[] {
  const ownPlace = jobPath({ id: request.id, key: keyOf(request.workDirectory) })
  const entries = jobEntries({ request, note: '' }, { base: slot, ...surroundings, prologue: [] })
  return entries.flatMap((entry) => {
    if (entry.path === `${ownPlace}/command`) return []
    const path = `${place}${entry.path.slice(ownPlace.length)}`
    if (entry.kind !== 'link' || !entry.target.startsWith(`${slot}/`)) return [{ ...entry, path }]
    return [{ ...entry, path, target: relative(dirname(path), entry.target.slice(slot.length + 1)) }]
  })
}

/**
 * A content as it lies in a task's working directory. The same content makes the same archive, however often it is
 * packed: hosts have it already, and a program is signed already.
 */
export function contentEntries(content: Content): readonly TarEntry[] {
  const path = contentPath(content)
  const parent = path.slice(0, path.lastIndexOf('/'))
  const modifiedAt = new Date(0)
  return [
    { kind: 'directory', path: 'shared', modifiedAt },
    { kind: 'directory', path: parent, modifiedAt },
    ...content.entries.map((entry) => ({
      ...entry,
      path: `${parent}/${entry.path}`,
      ...(entry.kind === 'directory' && { modifiedAt }),
    })),
  ]
}
