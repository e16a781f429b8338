import { constants } from 'node:fs'
import { copyFile, mkdir, readdir, realpath, stat } from 'node:fs/promises'
import { basename, extname, isAbsolute, join, sep } from 'node:path'
import { safeFileName } from '../../files/safe-file-name.ts'
import { syncTree } from '../../files/sync-tree.ts'
import type { DataReference } from './read-submission.ts'
import type { StoredFiles } from './stored-files.ts'

/** A file that a job is given. */
export interface DataFile {
  readonly path: string
  /** What it is called in the work directory. */
  readonly name: string
}

/** Where the data of jobs may come from. */
export interface DataSources {
  /** Undefined for what is not there, or not for this owner. */
  find(reference: DataReference, owner: string | undefined): Promise<DataFile | undefined>
  /** Data sets that the operator has installed, by name. */
  list(): Promise<Readonly<Record<string, { readonly description: string }>>>
}

export interface DataSourceSettings {
  /** Directory whose files are data sets; without, there are none. */
  readonly datasets?: string | undefined
  /** Directories in which clients may name files by their absolute paths. */
  readonly roots: readonly string[]
}

export function createDataSources(files: StoredFiles, { datasets, roots }: DataSourceSettings): DataSources {
  const datasetNames = async () =>
    datasets === undefined ? [] : (await readdir(datasets)).filter((name) => !name.startsWith('.')).sort()
  return {
    async find({ format, name }, owner) {
      switch (format) {
        case 'uid': {
          const file = files.find(name, owner)
          if (file === undefined) return undefined
          const place = files.locate(file)
          return { path: join(place.directory, place.name), name: place.name }
        }
        case 'dataset':
          return datasets !== undefined && (await datasetNames()).includes(name)
            ? fileInside(join(datasets, name), [datasets])
            : undefined
        case 'abspath':
          return isAbsolute(name) ? fileInside(name, roots) : undefined
      }
    },
    async list() {
      return Object.fromEntries((await datasetNames()).map((name) => [name, { description: '' }]))
    },
  }
}

/** A file that really lies in one of the directories, whatever links lead to it. */
async function fileInside(path: string, directories: readonly string[]): Promise<DataFile | undefined> {
  try {
    const real = await realpath(path)
    const allowed = await Promise.all(directories.map(async (each) => realpath(each).catch(() => undefined)))
    const isInside = allowed.some((each) => each !== undefined && real.startsWith(each + sep))
    if (!isInside || !(await stat(real)).isFile()) return undefined
    return { path: real, name: safeFileName(basename(path)) }
  } catch {
    return undefined
  }
}

/** Copies data to `directory` of a work directory. Answers with their names there: the same ones get numbers. */
export function placeData(files: readonly DataFile[]): {
  readonly names: readonly string[]
  readonly copy: (directory: string) => Promise<void>
} {
  const taken = new Set<string>()
  const names = files.map(({ name }) => {
    const ending = extname(name)
    let own = name
    for (let number = 2; taken.has(own); number += 1)
      own = `${name.slice(0, name.length - ending.length)}-${number}${ending}`
    taken.add(own)
    return own
  })
  return {
    names,
    async copy(directory) {
      if (files.length === 0) return
      await mkdir(directory, { recursive: true, mode: 0o700 })
      for (const [index, { path }] of files.entries())
        await copyFile(path, join(directory, names[index] ?? ''), constants.COPYFILE_FICLONE)
      await syncTree(directory)
    },
  }
}
