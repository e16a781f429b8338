import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Bytes of all files below a path, links themselves included and not what they lead to; 0 where there is nothing. What
 * goes while it is looked at counts for nothing. Throws the system error where something cannot be read.
 */
export async function sizeOfTree(path: string): Promise<number> {
  let bytes = 0
  const waiting = [path]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    try {
      const stats = await lstat(next)
      bytes += stats.size
      if (stats.isDirectory())
        for await (const { name } of await opendir(next)) waiting.push(join(next, name))
    } catch (error) {
      if (!(
        error instanceof Error &&
        'code' in error &&
        (error.code === 'ENOENT' || error.code === 'ENOTDIR')
      ))
        throw error
    }
  }
  return bytes
}

const mostRemembered = 100_000

/** Sizes of trees, remembered of those that do not change any more. */
export class TreeSizes {
  readonly #known = new Map<string, { readonly finalAt: number; readonly bytes: number }>()

  /** @param finalAt when the tree was changed last; null or undefined while it may change */
  async of(path: string, finalAt: number | null | undefined): Promise<number> {
    const known = this.#known.get(path)
    if (known !== undefined && known.finalAt === finalAt) return known.bytes
    const bytes = await sizeOfTree(path)
    if (finalAt !== null && finalAt !== undefined) {
      const [oldest] = this.#known.keys()
      if (this.#known.size >= mostRemembered && oldest !== undefined) this.#known.delete(oldest)
      this.#known.set(path, { finalAt, bytes })
    }
    return bytes
  }
}
