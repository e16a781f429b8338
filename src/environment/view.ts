import { cpSync, mkdirSync, readdirSync, symlinkSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { JobRequest } from './environment.ts'

/** Symbolic links in a directory: name and target. */
export type Links = ReadonlyMap<string, string>

/** Names in a directory; none where there is no such directory. */
export type DirectoryReader = (directory: string) => readonly string[]

/** Reads each directory once: for all jobs that were submitted together. */
export function rememberingReader(): DirectoryReader {
  const known = new Map<string, readonly string[]>()
  return (directory) => {
    let names = known.get(directory)
    if (names === undefined) {
      names = namesIn(directory)
      known.set(directory, names)
    }
    return names
  }
}

/** A path that an input or output names, or that lies on the way to one. */
interface Branch {
  readonly children: Map<string, Branch>
  isOutput: boolean
  from?: string
}

/** The segments of a path that stays below its start; undefined where it does not, or names the start itself. */
export function segmentsOf(path: string): readonly string[] | undefined {
  if (path.startsWith('/') || path.includes('\0')) return undefined
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.')
  return segments.length === 0 || segments.includes('..') ? undefined : segments
}

/**
 * Makes `target` a view of the request's work directory: a link for each name, real directories on the way to
 * inputs and outputs, inputs in their places. What an output will be is not linked, so that writing it leaves the
 * work directory alone. Paths must have passed `segmentsOf`. Where `present` is given, `target` is there already and
 * holds exactly these links: those that fit stay.
 */
export function makeView(target: string, request: JobRequest, read: DirectoryReader, present?: Links): void {
  const root: Branch = { children: new Map(), isOutput: false }
  for (const { from, to } of [...(request.shared ?? []), ...request.inputs]) branchAt(root, to).from = from
  for (const output of request.outputs) branchAt(root, output.path).isOutput = true
  makeDirectory(target, request.workDirectory, root, read, present)
}

function makeDirectory(
  target: string,
  source: string | undefined,
  branch: Branch,
  read: DirectoryReader,
  present?: Links,
): void {
  if (present === undefined) mkdirSync(target)
  // An output directory holds only what the job makes.
  const names = source === undefined || branch.isOutput ? [] : read(source)
  const links = new Map(
    names.filter((name) => !branch.children.has(name)).map((name) => [name, `${source}/${name}`]),
  )
  for (const [name, origin] of present ?? []) if (links.get(name) !== origin) unlinkSync(`${target}/${name}`)
  for (const [name, origin] of links)
    if (present?.get(name) !== origin) symlinkSync(origin, `${target}/${name}`)
  for (const [name, child] of branch.children) {
    const place = join(target, name)
    const origin = child.from ?? (source === undefined || branch.isOutput ? undefined : join(source, name))
    if (child.children.size > 0) makeDirectory(place, origin, child, read)
    else if (child.from === undefined) continue
    // Changed in place by the job: a link would change the original.
    else if (child.isOutput) cpSync(child.from, place, { recursive: true })
    else symlinkSync(child.from, place)
  }
}

function branchAt(root: Branch, path: string): Branch {
  let branch = root
  for (const segment of segmentsOf(path) ?? []) {
    let child = branch.children.get(segment)
    if (child === undefined) {
      child = { children: new Map(), isOutput: false }
      branch.children.set(segment, child)
    }
    branch = child
  }
  return branch
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
