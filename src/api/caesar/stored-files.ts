import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { isMissing } from '../../files/safe-open.ts'
import { syncPath } from '../../files/sync-tree.ts'
import type { ReceivedFile } from '../route.ts'

/** A file that somebody has uploaded. */
export interface StoredFile {
  /** 32 hex digits. */
  readonly id: string
  readonly owner: string
  /** As the client called it, made safe. */
  readonly name: string
  /** As it came, without the dot: `FITS`. */
  readonly extension: string
  readonly bytes: number
  /** Milliseconds since 1970. */
  readonly uploadedAt: number
  readonly tag: string
}

/** Uploads of all users: files in a directory a user, and a row each that tells of them. */
export interface StoredFiles {
  /** Keeps a file. Both it and its row are on the disk when this resolves. */
  add(file: StoredFile, received: Pick<ReceivedFile, 'place'>): Promise<void>
  /** `owner` undefined looks among those of all. */
  find(id: string, owner: string | undefined): StoredFile | undefined
  /** In the order in which they came. */
  list(owner: string | undefined): readonly StoredFile[]
  /** Directory and name in it. */
  locate(file: StoredFile): { readonly directory: string; readonly name: string }
  remove(file: StoredFile): Promise<void>
  /** `owner` undefined means those of all. */
  storedBytes(owner: string | undefined): number
  /** Names of all who have any. */
  owners(): readonly string[]
  /** Deletes the files of a user that are older than that, in milliseconds since 1970. */
  removeOlder(owner: string, before: number): Promise<void>
  /** Deletes files without a row, which a crash has left. Only while nothing is being added. */
  sweep(): Promise<void>
}

/** No user can be called like that. */
const operatorsDirectory = '+operator'

/** In the directory of a user. */
const folder = 'caesar'

/** `directory` holds a directory a user. */
export function openStoredFiles(database: DatabaseSync, directory: string): StoredFiles {
  const insert = database.prepare('INSERT INTO caesar_files VALUES (?, ?, ?, ?, ?, ?, ?)')
  const select = database.prepare('SELECT * FROM caesar_files WHERE id = ?')
  const selectAll = database.prepare('SELECT * FROM caesar_files ORDER BY uploaded_at, id')
  const selectOwn = database.prepare('SELECT * FROM caesar_files WHERE owner = ? ORDER BY uploaded_at, id')
  const selectOwners = database.prepare('SELECT DISTINCT owner FROM caesar_files')
  const sumBytes = database.prepare(
    'SELECT sum(bytes) AS bytes FROM caesar_files WHERE ? IS NULL OR owner = ?',
  )
  const deleteOne = database.prepare('DELETE FROM caesar_files WHERE id = ?')

  const locate = ({ owner, id, extension }: StoredFile) => ({
    directory: join(directory, owner === '' ? operatorsDirectory : owner, folder),
    name: `${id}.${extension}`,
  })
  return {
    locate,
    async add(file, received) {
      const { directory, name } = locate(file)
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await received.place(join(directory, name))
      await syncPath(directory)
      const { id, owner, extension, bytes, uploadedAt, tag } = file
      insert.run(id, owner, file.name, extension, bytes, uploadedAt, tag)
    },
    find(id, owner) {
      const row = select.get(id)
      const file = row === undefined ? undefined : fileOf(row)
      return owner === undefined || file?.owner === owner ? file : undefined
    },
    list: (owner) => (owner === undefined ? selectAll.all() : selectOwn.all(owner)).map((row) => fileOf(row)),
    async remove(file) {
      const { directory, name } = locate(file)
      // A file without a row is swept away; a row without a file would be shown.
      deleteOne.run(file.id)
      await rm(join(directory, name), { force: true })
    },
    storedBytes: (owner) => Number(sumBytes.get(owner ?? null, owner ?? null)?.['bytes'] ?? 0),
    owners: () => selectOwners.all().map((row) => String(row['owner'])),
    async removeOlder(owner, before) {
      for (const file of this.list(owner)) if (file.uploadedAt < before) await this.remove(file)
    },
    async sweep() {
      for (const owner of await namesIn(directory))
        for (const name of await namesIn(join(directory, owner, folder)))
          if (select.get(name.split('.', 1)[0] ?? '') === undefined)
            await rm(join(directory, owner, folder, name), { recursive: true, force: true })
    },
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function fileOf(row: Record<string, SQLOutputValue>): StoredFile {
  return {
    id: String(row['id']),
    owner: String(row['owner']),
    name: String(row['name']),
    extension: String(row['extension']),
    bytes: Number(row['bytes']),
    uploadedAt: Number(row['uploaded_at']),
    tag: String(row['tag']),
  }
}
