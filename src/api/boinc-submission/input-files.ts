import { createHash, randomUUID } from 'node:crypto'
import { copyFile, mkdir, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { isAbsolute, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createWriteStream } from 'node:fs'
import { removeTree } from '../../files/remove-tree.ts'
import { isInside, openInside } from '../../files/safe-open.ts'
import { Problem } from '../../problem.ts'
import type { InputFileSource } from './read-batch.ts'
import { fetchUrl, type FetchRules } from './fetch-url.ts'
import { refuse } from './refuse.ts'

/** From where the server takes input files. */
export interface FileRules extends FetchRules {
  /** Directories of the server's computer, absolute, of which submitters may name files. */
  readonly roots: readonly string[]
}

/** Where a user's uploaded file lies, by its name; undefined where there is none. */
export type FindUpload = (name: string) => string | undefined

/** Files of a batch on their way into its work directory: each only once, however many jobs name it. */
export class GatheredFiles implements AsyncDisposable {
  readonly #directory: string
  readonly #rules: FileRules
  readonly #findUpload: FindUpload
  readonly #gathered = new Map<string, Promise<string>>()
  #bytes = 0

  /** @param directory made by the first file; on the file system of the executions. */
  constructor(directory: string, rules: FileRules, findUpload: FindUpload) {
    this.#directory = directory
    this.#rules = rules
    this.#findUpload = findUpload
  }

  /** Makes sure that a file is there, and answers with its name in `place`. Throws Problem in the words of BOINC. */
  async gather(source: InputFileSource, signal: AbortSignal): Promise<string> {
    const key = createHash('sha256').update(JSON.stringify(source)).digest('hex')
    const known = this.#gathered.get(key)
    if (known !== undefined) return known
    const fetching = this.#fetch(source, signal)
    this.#gathered.set(key, fetching)
    return fetching
  }

  /** Moves a gathered file to where it belongs; a second place gets a copy. */
  async place(name: string, path: string): Promise<void> {
    await copyFile(join(this.#directory, name), path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#gathered.values())
    await removeTree(this.#directory)
  }

  async #fetch(source: InputFileSource, signal: AbortSignal): Promise<string> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const name = randomUUID()
    const path = join(this.#directory, name)
    switch (source.kind) {
      case 'inline':
        this.#count(Buffer.byteLength(source.content))
        await writeFile(path, source.content, { mode: 0o600 })
        break
      case 'url': {
        const left = Math.max(0, this.#rules.bytesAtMost - this.#bytes)
        const { bytes, md5 } = await fetchUrl(source.url, path, { ...this.#rules, bytesAtMost: left }, signal)
        this.#count(bytes)
        if (source.bytes !== undefined && source.bytes !== bytes)
          throw refuse(`can't copy file from ${source.url}: it has ${bytes} bytes, not ${source.bytes}`)
        if (source.md5 !== undefined && source.md5 !== md5)
          throw refuse(`Can't get MD5 of file ${source.url}: it is ${md5}, not ${source.md5}`)
        break
      }
      case 'path':
        await this.#copyOwn(source.path, path, signal)
        break
      case 'upload': {
        const uploaded = this.#findUpload(source.name)
        if (uploaded === undefined) throw refuse(`Can't get MD5 of file ${source.name.slice(0, 255)}`)
        await copyFile(uploaded, path)
      }
    }
    return name
  }

  /** Copies a file of the server's computer that lies below one of the roots, also behind its links. */
  async #copyOwn(source: string, path: string, signal: AbortSignal): Promise<void> {
    const refused = (cause?: unknown) =>
      refuse(`can't copy file from ${source.slice(0, 200)}: it is no file that the operator allows`, cause)
    if (!isAbsolute(source) || source.includes('\0')) throw refused()
    let real: string
    try {
      real = await realpath(source)
    } catch (cause) {
      throw refused(cause)
    }
    for (const named of this.#rules.roots) {
      const root = await realpath(named).catch(() => undefined)
      if (root === undefined || !isInside(root, real) || root === real) continue
      try {
        const { handle, stats } = await openInside(root, relative(root, real))
        await using _closing = handle
        if (!stats.isFile()) throw refused()
        this.#count(stats.size)
        await pipeline(
          handle.createReadStream({ autoClose: false }),
          createWriteStream(path, { flags: 'wx', mode: 0o600 }),
          { signal },
        )
        return
      } catch (cause) {
        await rm(path, { force: true })
        if (cause instanceof Problem && !['file-missing', 'path-unsafe'].includes(cause.code)) throw cause
        throw refused(cause)
      }
    }
    throw refused()
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#rules.bytesAtMost)
      throw refuse(`the input files of a batch have more than ${this.#rules.bytesAtMost} bytes`)
  }
}

/** Puts an upload where it stays. What is there already has the same content, for its name is its digest. */
export async function keepUpload(
  place: (path: string) => Promise<void>,
  directory: string,
  sha256: string,
): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, sha256)
  const beside = join(directory, `.${randomUUID()}`)
  await place(beside)
  await rename(beside, path)
  return path
}
