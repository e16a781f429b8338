import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { EnvironmentError } from '../../src/environment/environment.ts'
import { scanContent, type Content } from '../../src/environment/job-files/scan-tree.ts'
import type { Application, ApplicationFile, VolunteerProject } from '../../src/environment/volunteers.ts'
import { writeFileDurably } from '../../src/files/durable-file.ts'
import { toProblem } from '../../src/problem.ts'
import { launcherScript, slotNames } from './launcher-script.ts'
import { packEntries, type PackedFile } from './pack-entries.ts'
import type { BoincOptions } from './options.ts'
import { contentEntries } from './task-archive.ts'

export interface ProgramParts {
  readonly project: Pick<VolunteerProject, 'signatureOf'>
  readonly options: Pick<BoincOptions, 'platforms' | 'nodePrograms'>
  /** For programs as hosts fetch them; they stay. */
  readonly directory: string
  /** BOINC's name of the server's own platform; undefined where it has none that is served. */
  readonly ownPlatform: string | undefined
}

/** What runs on hosts: the launcher, and what many jobs share, as signed files that each host fetches once. */
export class Programs {
  readonly #parts: ProgramParts
  readonly #known = new Map<string, Promise<Application>>()
  /** Files that are being packed: two executions often need the same. */
  readonly #packing = new Map<string, Promise<PackedFile>>()

  constructor(parts: ProgramParts) {
    this.#parts = parts
  }

  /**
   * The application for jobs that share these contents. Throws EnvironmentError where the project cannot sign it, and
   * UnservedError where no platform could run it.
   */
  async application(shared: readonly Content[], signal: AbortSignal): Promise<Application> {
    const key = shared.map(({ hash }) => hash).join(' ')
    const found = this.#known.get(key)
    if (found !== undefined) return found
    const made = this.#make(shared, signal)
    this.#known.set(key, made)
    made.catch(() => this.#known.delete(key))
    return made
  }

  async #make(shared: readonly Content[], signal: AbortSignal): Promise<Application> {
    const { options, ownPlatform } = this.#parts
    const launcher = await this.#signed(await this.#launcher())
    const served = [
      ...new Set([...(ownPlatform === undefined ? [] : [ownPlatform]), ...Object.keys(options.nodePrograms)]),
    ]
    const names = shared.length === 0 ? options.platforms : served
    if (names.length === 0) throw new UnservedError()
    const platforms: Record<string, readonly ApplicationFile[]> = {}
    for (const platform of names) {
      const files: ApplicationFile[] = [launcher]
      for (const [index, content] of shared.entries()) {
        const file = await this.#signed(await this.#bundle(content, platform, signal))
        files.push({ ...file, openName: slotNames.shared(index) })
      }
      platforms[platform] = files
    }
    const told = Object.entries(platforms).map(([name, files]) => [
      name,
      files.map(({ md5, signature, openName }) => [md5, signature, openName]),
    ])
    const digest = createHash('md5').update(JSON.stringify(told)).digest('hex')
    return {
      name: `molehill_${digest.slice(0, 12)}`,
      title: 'Molehill',
      resultName: slotNames.result,
      version: 100,
      platforms,
    }
  }

  async #launcher(): Promise<PackedFile> {
    const { directory } = this.#parts
    const bytes = Buffer.from(launcherScript)
    const md5 = createHash('md5').update(bytes).digest('hex')
    const name = `molehill_launcher_${md5}`
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await writeFileDurably(join(directory, name), bytes, 0o600)
    return { name, path: join(directory, name), bytes: bytes.length, md5 }
  }

  /** Packed once: another archive of the same would be another program that every host had to fetch. */
  #bundle(content: Content, platform: string, signal: AbortSignal): Promise<PackedFile> {
    const { nodePrograms } = this.#parts.options
    const [root] = content.entries
    // The only file among directories is Node itself.
    const other = root?.kind === 'file' ? nodePrograms[platform as keyof typeof nodePrograms] : undefined
    const key = other === undefined ? content.hash : `${content.hash}.${platform}`
    const found = this.#packing.get(key)
    if (found !== undefined) return found
    const made = this.#pack(key, content, other, signal)
    this.#packing.set(key, made)
    made.catch(() => this.#packing.delete(key))
    return made
  }

  async #pack(
    key: string,
    content: Content,
    other: string | undefined,
    signal: AbortSignal,
  ): Promise<PackedFile> {
    const { directory } = this.#parts
    const note = join(directory, `${key}.json`)
    // What another Node holds may change under its path.
    if (other === undefined) {
      const kept = readNote(note)
      if (kept !== undefined) return kept
    }
    const brought =
      other === undefined ? content : { ...(await scanContent(other, 'content', signal)), hash: content.hash }
    const packed = await packEntries(contentEntries(brought), directory, 'shared', signal)
    await writeFileDurably(note, JSON.stringify(packed), 0o600)
    return packed
  }

  /** Throws EnvironmentError where the key is kept elsewhere, and says which file it is to sign. */
  async #signed({ name, path, bytes, md5 }: PackedFile): Promise<ApplicationFile> {
    const signature = await this.#parts.project.signatureOf({ name, md5 }).catch((error: unknown) => {
      const { message, hint = '' } = toProblem(error)
      throw new EnvironmentError(`${message} ${hint} The file is ${path}.`, { cause: error })
    })
    return { name, path, bytes, md5, signature }
  }
}

/** Functions can run nowhere: the server's own Node is for a platform without volunteers, and no other is given. */
export class UnservedError extends Error {
  override readonly name = 'UnservedError'
  constructor() {
    super(
      'Functions cannot run on volunteers of this server: its own Node is for another platform than BOINC on Linux.',
    )
  }
}

function readNote(path: string): PackedFile | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as PackedFile
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
