import { existsSync, readFileSync } from 'node:fs'
import { registerHooks, type LoadFnOutput, type ResolveFnOutput } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { SourceLocation } from '../workflow/location.ts'

/** How modules of user code are found and loaded in this thread. URLs of directories end in `/`. */
export interface ModuleHooks {
  readonly workUrl: string
  /** Where copies of modules lie that are to be loaded instead of what the work directory holds now. */
  readonly snapshotUrl?: string
  /** Told of every module loaded from the work directory, by its path relative to it. */
  readonly onModule?: (path: string) => void
}

/** An import that is refused, or leads nowhere. The message is a sentence for the writer of the script. */
export class ImportError extends Error {
  override readonly name = 'ImportError'
  readonly location: SourceLocation | null

  constructor(message: string, location: SourceLocation | null) {
    super(message)
    this.location = location
  }
}

const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const languageUrl = new URL(`../molehill${extension}`, import.meta.url).href
const ownFolders = [
  new URL('../', import.meta.url).href,
  new URL('../../environments/', import.meta.url).href,
]

/**
 * From now on, `molehill` is this package's language, and modules of the work directory import one another, what Node
 * brings, and nothing else. Modules of a snapshot keep the URLs they have in the work directory.
 */
export function hookModules({ workUrl, snapshotUrl, onModule }: ModuleHooks): void {
  // A work directory may hold this package itself, when its own examples are run.
  const isUsers = (url: string): boolean =>
    url.startsWith(workUrl) && !ownFolders.some((folder) => url.startsWith(folder))
  const copyOf = (url: string): string =>
    snapshotUrl === undefined ? url : snapshotUrl + url.slice(workUrl.length)

  registerHooks({
    resolve(specifier, context, next): ResolveFnOutput {
      const parent = context.parentURL
      // The script itself: whether it is still in the work directory does not matter where there is a copy.
      if (isUsers(specifier) && parent !== undefined && !isUsers(parent))
        return { url: specifier, shortCircuit: true }
      if (parent === undefined || !isUsers(parent)) return next(specifier, context)
      if (specifier === 'molehill') return { url: languageUrl, shortCircuit: true }
      const found = resolveAsAtStart(parent) ?? resolveNow(parent)
      if (found.url.startsWith('node:') || isUsers(found.url)) return found
      throw new ImportError(
        `${JSON.stringify(specifier)} lies outside of the work directory; a script may import files of its work directory, what Node brings, and molehill.`,
        locateImport(specifier, parent, workUrl),
      )

      function resolveAsAtStart(parent: string): ResolveFnOutput | undefined {
        if (snapshotUrl === undefined) return undefined
        try {
          const found = next(specifier, { ...context, parentURL: copyOf(parent) })
          return found.url.startsWith(snapshotUrl)
            ? { ...found, url: workUrl + found.url.slice(snapshotUrl.length) }
            : undefined
        } catch {
          // It may be imported now for the first time.
          return undefined
        }
      }

      function resolveNow(parent: string): ResolveFnOutput {
        try {
          return next(specifier, context)
        } catch (error) {
          throw new ImportError(
            `${JSON.stringify(specifier)} cannot be imported: ${relativeReason(error, workUrl)}.`,
            locateImport(specifier, parent, workUrl),
          )
        }
      }
    },

    load(url, context, next): LoadFnOutput {
      if (!isUsers(url)) return next(url, context)
      onModule?.(fileURLToPath(url).slice(fileURLToPath(workUrl).length))
      const copy = copyOf(url)
      const source = copy !== url && existsSync(new URL(copy)) ? copy : url
      const loaded = next(source, context)
      // Without source Node would read a CommonJS module from where its URL points to, not from its copy.
      return loaded.source === undefined || loaded.source === null
        ? { ...loaded, source: readFileSync(new URL(source)) }
        : loaded
    },
  })
}

function relativeReason(error: unknown, workUrl: string): string {
  if (!(error instanceof Error)) return 'it cannot be found'
  if ('code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return 'there is no such file or package'
  return error.message.replaceAll(workUrl, '').replaceAll(fileURLToPath(workUrl), '')
}

/** Where `specifier` is written in the module `parent`, as far as its text tells. */
function locateImport(specifier: string, parent: string, workUrl: string): SourceLocation | null {
  const file = decodeURIComponent(parent.slice(workUrl.length))
  try {
    const source = readFileSync(new URL(parent), 'utf8')
    const offset = Math.max(...['"', "'"].map((quote) => source.indexOf(quote + specifier + quote)))
    if (offset < 0) return { file, line: 1, column: 1 }
    const before = source.slice(0, offset).split('\n')
    return { file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
  } catch {
    return null
  }
}
