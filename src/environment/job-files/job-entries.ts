import { lstatSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isInside, type Content } from './scan-tree.ts'
import { planView } from '../view.ts'
import { contentPath } from './content-store.ts'
import type { NewJob } from './job-files.ts'
import { commandFile } from './command-file.ts'
import { jobPath, keyOf } from './places.ts'
import type { TarEntry } from './tar-stream.ts'
import type { WorkTree } from './work-trees.ts'

export interface Surroundings {
  /** Of the host, absolute. */
  readonly base: string
  readonly tree: WorkTree
  /** By path on the server. */
  readonly shared: ReadonlyMap<string, Content>
  readonly prologue: readonly string[]
  /** Whether an input is linked to the work directory that went there, rather than copied. Without it, none is. */
  readonly isInTree?: (serverPath: string) => boolean
}

/** All that makes a job's directory. Throws the system's error where an input cannot be read. */
export function jobEntries({ request, note }: NewJob, surroundings: Surroundings): readonly TarEntry[] {
  const { base, tree, shared, prologue } = surroundings
  const place = jobPath({ id: request.id, key: keyOf(request.workDirectory) })
  const treePath = `${base}/${contentPath(tree.content)}`
  const entries: TarEntry[] = [
    { kind: 'directory', path: place },
    { kind: 'text', path: `${place}/command`, text: commandFile(request, note, treePath, prologue) },
  ]
  const within = request.linksWithin ?? '/'
  const inputs = new Set(request.inputs.map(({ from }) => from))
  for (const entry of planView(request, tree.read)) {
    const path = entry.path === '' ? `${place}/work` : `${place}/work/${entry.path}`
    if (entry.kind === 'directory') entries.push({ kind: 'directory', path })
    else if (entry.kind === 'copy') pushCopy(entries, entry.from, path, within)
    else {
      const content = shared.get(entry.to)
      // The work directory goes on changing while the execution runs: an input is what it is now.
      const isCopied = inputs.has(entry.to) && surroundings.isInTree?.(entry.to) !== true
      const known = isCopied ? undefined : tree.pathOf(entry.to)
      if (content !== undefined)
        entries.push({ kind: 'link', path, target: `${base}/${contentPath(content)}` })
      else if (known !== undefined) entries.push({ kind: 'link', path, target: `${base}/${known}` })
      else pushCopy(entries, entry.to, path, within)
    }
  }
  return entries
}

/** A file or directory with all that lies in it; links are followed inside of `within` and left out where they lead elsewhere. */
function pushCopy(
  entries: TarEntry[],
  from: string,
  path: string,
  within: string,
  above: readonly string[] = [],
): void {
  if (!isInside(realpathSync.native(from), within)) {
    if (above.length > 0) return
    throw new Error(`${from} is a link that leads out of ${within}`)
  }
  const stats = statSync(from)
  if (stats.isDirectory()) {
    const real = realpathSync.native(from)
    if (above.includes(real)) throw new Error(`${from} is a link to a directory that it lies in`)
    entries.push({ kind: 'directory', path })
    for (const name of readdirSync(from)) {
      const child = join(from, name)
      if (statSync(child, { throwIfNoEntry: false }) === undefined && lstatSync(child).isSymbolicLink())
        continue
      pushCopy(entries, child, join(path, name), within, [...above, real])
    }
  } else if (stats.isFile())
    entries.push({
      kind: 'file',
      path,
      from,
      sizeBytes: stats.size,
      mode: 0o600 | (stats.mode & 0o100),
      modifiedAt: stats.mtime,
    })
}
