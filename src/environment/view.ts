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

/** What a view of a work directory consists of, each directory before what lies in it; paths are relative to the view. */
export type ViewEntry =
  /** The view itself has the path ''. */
  | { readonly kind: 'directory'; readonly path: string }
  /** `to` is an absolute path on the server: a name of the work directory, or an input. */
  | { readonly kind: 'link'; readonly path: string; readonly to: string }
  /** An input that the job changes in place: a link would change the original. */
  | { readonly kind: 'copy'; readonly path: string; readonly from: string }

/**
 * A view of the request's work directory: a link for each name, real directories on the way to inputs and outputs,
 * inputs in their places. What an output will be is not linked, so that writing it leaves the work directory alone.
 * Paths must have passed `segmentsOf`.
 */
export function planView(request: JobRequest, read: DirectoryReader): readonly ViewEntry[] {
  const root: Branch = { children: new Map(), isOutput: false }
  for (const input of [...request.inputs, ...(request.shared ?? [])])
    branchAt(root, input.to).from = input.from
  for (const output of request.outputs) branchAt(root, output.path).isOutput = true
  const entries: ViewEntry[] = []
  planDirectory(entries, '', request.workDirectory, root, read)
  return entries
}

/**
 * Makes `target` the view of the request. Where `present` is given, `target` is there already and holds exactly these
 * links: those that fit stay. Inputs that the job changes in place are copied by `copy`, links and all without.
 */
export function makeView(
  target: string,
  request: JobRequest,
  read: DirectoryReader,
  present?: Links,
  copy: (from: string, to: string) => void = copyAll,
): void {
  const entries = planView(request, read)
  if (present !== undefined) {
    const wanted = new Map(entries.map((entry) => [entry.path, entry.kind === 'link' ? entry.to : undefined]))
    for (const [name, to] of present) if (wanted.get(name) !== to) unlinkSync(`${target}/${name}`)
  }
  for (const entry of entries) {
    const place = entry.path === '' ? target : `${target}/${entry.path}`
    if (entry.kind === 'copy') copy(entry.from, place)
    else if (entry.kind === 'directory') {
      if (entry.path !== '' || present === undefined) mkdirSync(place)
    } else if (present?.get(entry.path) !== entry.to) symlinkSync(entry.to, place)
  }
}

function copyAll(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
}

function planDirectory(
  entries: ViewEntry[],
  path: string,
  source: string | undefined,
  branch: Branch,
  read: DirectoryReader,
): void {
  entries.push({ kind: 'directory', path })
  const prefix = path === '' ? '' : `${path}/`
  // An output directory holds only what the job makes.
  const names = source === undefined || branch.isOutput ? [] : read(source)
  for (const name of names)
    if (!branch.children.has(name))
      entries.push({ kind: 'link', path: prefix + name, to: `${source}/${name}` })
  for (const [name, child] of branch.children) {
    const place = prefix + name
    const origin = child.from ?? (source === undefined || branch.isOutput ? undefined : join(source, name))
    if (child.children.size > 0) planDirectory(entries, place, origin, child, read)
    else if (child.from === undefined) continue
    else if (child.isOutput) entries.push({ kind: 'copy', path: place, from: child.from })
    else entries.push({ kind: 'link', path: place, to: child.from })
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
