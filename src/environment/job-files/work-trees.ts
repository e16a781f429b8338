import { dirname, relative } from 'node:path'
import { realpathSync } from 'node:fs'
import type { DirectoryReader } from '../view.ts'
import { contentPath } from './content-store.ts'
import { scanContent, type Content } from './scan-tree.ts'

/** The work directory of an execution as it went to a host. */
export interface WorkTree {
  readonly content: Content
  /** Without symbolic links. */
  readonly root: string
  /** Names in a directory of it. */
  readonly read: DirectoryReader
  /** Where something of it lies on the host, below the base; undefined for what is not part of it. */
  readonly pathOf: (serverPath: string) => string | undefined
}

/** Work directories as they were at the first submit of their execution: each is read once. */
export class WorkTrees {
  readonly #trees = new Map<string, Promise<WorkTree>>()
  /** Contents that many jobs share, by path on the server. */
  readonly #shared = new Map<string, Promise<Content>>()

  tree(workDirectory: string, linksWithin: string | undefined, signal: AbortSignal): Promise<WorkTree> {
    return remember(this.#trees, workDirectory, () => readTree(workDirectory, linksWithin, signal))
  }

  shared(from: string, signal: AbortSignal): Promise<Content> {
    return remember(this.#shared, from, () => scanContent(from, 'content', signal))
  }

  forget(workDirectory: string): void {
    this.#trees.delete(workDirectory)
    for (const from of this.#shared.keys())
      if (from.startsWith(`${dirname(workDirectory)}/`)) this.#shared.delete(from)
  }

  /** After a file changed while it was being sent: everything is read anew. */
  forgetAll(): void {
    this.#trees.clear()
    this.#shared.clear()
  }
}

/** What failed is tried again by the next caller. */
function remember<Value>(
  known: Map<string, Promise<Value>>,
  name: string,
  make: () => Promise<Value>,
): Promise<Value> {
  let value = known.get(name)
  if (value === undefined) {
    value = make()
    known.set(name, value)
    value.catch(() => known.delete(name))
  }
  return value
}

async function readTree(
  workDirectory: string,
  linksWithin: string | undefined,
  signal: AbortSignal,
): Promise<WorkTree> {
  const root = realpathSync.native(workDirectory)
  const content = await scanContent(root, 'content', signal, linksWithin)
  const names = new Map<string, string[]>()
  const paths = new Set<string>()
  for (const { path } of content.entries) {
    paths.add(path)
    const parent = dirname(path)
    const name = path.slice(parent.length + 1)
    if (path === 'content') continue
    const siblings = names.get(parent)
    if (siblings === undefined) names.set(parent, [name])
    else siblings.push(name)
  }
  const inside = (serverPath: string): string | undefined => {
    const below = serverPath === workDirectory ? '' : relative(workDirectory, serverPath)
    return below === '..' || below.startsWith('../')
      ? undefined
      : below === ''
        ? 'content'
        : `content/${below}`
  }
  return {
    content,
    root,
    read: (directory) => names.get(inside(directory) ?? '') ?? [],
    pathOf: (serverPath) => {
      const path = inside(serverPath)
      if (path === undefined || !paths.has(path)) return undefined
      return `${contentPath(content)}${path.slice('content'.length)}`
    },
  }
}
