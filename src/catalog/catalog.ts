import { randomUUID } from 'node:crypto'
import { mkdir, readdir, realpath, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { copyTree } from '../files/copy-tree.ts'
import { makeReadable } from '../files/readable-tree.ts'
import { removeTree } from '../files/remove-tree.ts'
import { syncPath, syncTree } from '../files/sync-tree.ts'
import { Problem } from '../problem.ts'
import type { Evaluation } from '../script/contract.ts'
import type { BrokenEntry, Catalog, CatalogEntry, CatalogWorkflow } from './contract.ts'
import { badEntryName, isEntryName } from './entry-name.ts'
import type { ReadingSettings } from './read-entry.ts'
import { RememberedReadings } from './remembered-readings.ts'

export interface CatalogSettings extends ReadingSettings {
  /** Folders that came with Molehill; those that do not describe themselves are no entries. */
  readonly shippedDirectory: string
  /** Where installed ones lie; made when it is not there. */
  readonly directory: string
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** A folder that may be an entry. */
interface Folder {
  readonly name: string
  readonly origin: 'shipped' | 'installed'
  readonly directory: string
}

const mostInstalled = 500
const readAtOnce = 2

/** Opens a catalog, and clears away what a crash has left half made of it. */
export async function openCatalog(settings: CatalogSettings): Promise<Catalog> {
  await mkdir(settings.directory, { recursive: true, mode: 0o700 })
  // Boxes are made of paths without links.
  const directory = await realpath(settings.directory)
  for (const name of await readdir(directory))
    if (name.startsWith('.')) await removeTree(join(directory, name))
  return new FolderCatalog({ ...settings, directory })
}

class FolderCatalog implements Catalog {
  readonly #settings: CatalogSettings
  readonly #readings: RememberedReadings
  /** Names that are being added, and those that are being removed. */
  readonly #changing = new Set<string>()
  /** Copies under way, by name. */
  readonly #copying = new Map<string, Set<Promise<void>>>()

  constructor(settings: CatalogSettings) {
    this.#settings = settings
    this.#readings = new RememberedReadings(settings, settings.now)
  }

  async list(): Promise<readonly CatalogEntry[]> {
    const folders = await this.#folders()
    this.#readings.retain(new Set(folders.map(({ directory }) => directory)))
    const entries: CatalogEntry[] = []
    const left = folders.values()
    const work = async (): Promise<void> => {
      for (const folder of left) entries.push(...(await this.#read(folder)))
    }
    await Promise.all(Array.from({ length: readAtOnce }, work))
    const shipped = new Set(entries.filter(({ origin }) => origin === 'shipped').map(({ name }) => name))
    return entries
      .map((entry) =>
        entry.origin === 'installed' && shipped.has(entry.name)
          ? broken(entry, nameTakenByShipped(entry.name))
          : entry,
      )
      .sort((a, b) => compare(a.name, b.name) || compare(b.origin, a.origin))
  }

  async find(name: string): Promise<CatalogWorkflow> {
    return (await this.#locate(name)).entry
  }

  async fill(name: string, workDirectory: string): Promise<Evaluation | undefined> {
    const { directory } = await this.#locate(name)
    const latest = this.#readings.latest(directory)
    if (this.#changing.has(name)) throw unknown(name)
    const copying = copyTree(directory, workDirectory).then(() => syncTree(workDirectory))
    const all = this.#copying.get(name) ?? new Set()
    this.#copying.set(name, all.add(copying))
    try {
      await copying
    } finally {
      all.delete(copying)
      if (all.size === 0) this.#copying.delete(name)
    }
    // What was copied while the folder changed may be something of both.
    return latest && this.#readings.stillSaid(directory, latest)
  }

  async add(
    name: string,
    place: (directory: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<CatalogWorkflow> {
    if (!isEntryName(name)) throw badEntryName(name)
    if (this.#changing.has(name)) throw taken(name)
    this.#changing.add(name)
    const { directory } = this.#settings
    const beside = join(directory, `.adding-${randomUUID()}`)
    try {
      await this.#refuseTaken(name)
      await place(beside)
      // A server that root runs may read scripts as another user.
      if (this.#settings.isolation?.isRoot === true) await makeReadable(beside)
      const reading = await this.#readings.read(beside, signal)
      const { script, description } = reading
      if (description === undefined) throw undescribed(script)
      await syncTree(beside)
      const target = join(directory, name)
      await rename(beside, target)
      try {
        await syncPath(directory)
      } catch (error) {
        await removeTree(target)
        throw error
      }
      await this.#readings.keep(target, reading)
      return { kind: 'workflow', name, origin: 'installed', script, description }
    } finally {
      this.#changing.delete(name)
      await removeTree(beside)
    }
  }

  async remove(name: string): Promise<void> {
    const { directory } = this.#settings
    const own = join(directory, name)
    if (!isEntryName(name) || this.#changing.has(name)) throw unknown(name)
    if (!(await isThere(own))) {
      if ((await this.#shipped(name)) !== undefined)
        throw new Problem('workflow-conflict', `${name} comes with Molehill and cannot be removed.`)
      throw unknown(name)
    }
    this.#changing.add(name)
    const aside = join(directory, `.removed-${randomUUID()}`)
    try {
      // A copy would miss what goes away while it is made.
      await Promise.allSettled(this.#copying.get(name) ?? new Set<Promise<void>>())
      await rename(own, aside)
      await syncPath(directory)
    } finally {
      this.#changing.delete(name)
      await removeTree(aside)
    }
  }

  async close(): Promise<void> {
    await this.#readings.close()
  }

  async #folders(): Promise<readonly Folder[]> {
    const { shippedDirectory, directory } = this.#settings
    const [shipped, installed] = await Promise.all([namesIn(shippedDirectory), namesIn(directory)])
    return [
      ...shipped.map((name) => ({
        name,
        origin: 'shipped' as const,
        directory: join(shippedDirectory, name),
      })),
      ...installed.map((name) => ({ name, origin: 'installed' as const, directory: join(directory, name) })),
    ]
  }

  /** The entry that a folder is; none for one that came with Molehill and does not describe itself. */
  async #read({ name, origin, directory }: Folder): Promise<readonly CatalogEntry[]> {
    if (!isEntryName(name)) return [broken({ name, origin }, badEntryName(name))]
    const reading = await this.#readings.of(directory)
    if (reading.kind === 'broken') return [broken({ name, origin }, reading.problem)]
    const { script, description } = reading
    if (description !== undefined) return [{ kind: 'workflow', name, origin, script, description }]
    return origin === 'shipped' ? [] : [broken({ name, origin }, undescribed(script))]
  }

  async #shipped(name: string): Promise<CatalogEntry | undefined> {
    const directory = join(this.#settings.shippedDirectory, name)
    if (!(await isThere(directory))) return undefined
    return (await this.#read({ name, origin: 'shipped', directory }))[0]
  }

  async #locate(name: string): Promise<{ readonly entry: CatalogWorkflow; readonly directory: string }> {
    if (!isEntryName(name)) throw unknown(name)
    const { shippedDirectory, directory: installedDirectory } = this.#settings
    const places = {
      shipped: join(shippedDirectory, name),
      installed: join(installedDirectory, name),
    } as const
    for (const origin of ['shipped', 'installed'] as const) {
      const directory = places[origin]
      if (!(await isThere(directory))) continue
      const [entry] = await this.#read({ name, origin, directory })
      if (entry?.kind === 'workflow') return { entry, directory }
      if (entry !== undefined) throw brokenProblem(entry)
    }
    throw unknown(name)
  }

  async #refuseTaken(name: string): Promise<void> {
    if ((await this.#shipped(name)) !== undefined) throw nameTakenByShipped(name)
    const { directory } = this.#settings
    if (await isThere(join(directory, name))) throw taken(name)
    const { length } = await namesIn(directory)
    if (length >= mostInstalled)
      throw new Problem(
        'workflow-conflict',
        `There are ${length} installed workflows; expected fewer than ${mostInstalled}.`,
        {
          hint: 'Remove some that are not needed: molehill catalog remove NAME',
        },
      )
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

async function isThere(directory: string): Promise<boolean> {
  return (await stat(directory).catch(() => undefined))?.isDirectory() === true
}

function broken({ name, origin }: Pick<BrokenEntry, 'name' | 'origin'>, problem: Problem): BrokenEntry {
  return { kind: 'broken', name, origin, problem }
}

function brokenProblem({ name, problem }: BrokenEntry): Problem {
  return new Problem(problem.code, `The workflow ${name} is broken: ${problem.message}`, {
    hint: problem.hint ?? 'Mend its files, then add it anew.',
    cause: problem.cause,
  })
}

function undescribed(script: string): Problem {
  return new Problem('workflow-invalid', `${script} does not say which inputs and outputs it has.`, {
    hint: "End it with: export default workflow.describe({ title: 'What it does', inputs: [input(value)] })",
  })
}

function unknown(name: string): Problem {
  return new Problem(
    'workflow-unknown',
    `There is no workflow named ${JSON.stringify(name.slice(0, 100))}.`,
    {
      hint: 'molehill catalog list shows those that there are.',
    },
  )
}

function taken(name: string): Problem {
  return new Problem('workflow-conflict', `There is a workflow named ${name} already.`, {
    hint: `Remove it first, molehill catalog remove ${name}, or give the new one another name.`,
  })
}

function nameTakenByShipped(name: string): Problem {
  return new Problem('workflow-conflict', `${name} is the name of a workflow that comes with Molehill.`, {
    hint: 'Give it another one: molehill catalog add DIR --name NAME',
  })
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
