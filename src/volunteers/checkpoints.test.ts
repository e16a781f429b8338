import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { startCheckpoints, type Checkpoints } from './checkpoints.ts'

let directory: string
let checkpoints: Checkpoints
const warnings: string[] = []
const patience = { timeout: 60_000, interval: 20 }

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-checkpoints-'))
  warnings.length = 0
})

afterEach(async () => {
  await checkpoints.close()
  rmSync(directory, { recursive: true })
})

it('carries commits over into the database, and begins the log anew before it is long', async () => {
  const path = join(directory, 'project.db')
  using database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE texts (text TEXT)')
  const add = database.prepare('INSERT INTO texts VALUES (?)')
  checkpoints = startCheckpoints(path, (message) => warnings.push(message))
  add.run('x'.repeat(40e6))
  expect(statSync(path).size).toBeLessThan(1e6)
  checkpoints.want()
  await vi.waitFor(() => expect(statSync(path).size).toBeGreaterThan(40e6), patience)
  // The log is as long as it was, but the next commit is written at its beginning.
  const logBytes = statSync(`${path}-wal`).size
  await vi.waitFor(() => {
    add.run('y'.repeat(10e6))
    checkpoints.want()
    expect(pagesInLog(database)).toBeLessThan(5000)
  }, patience)
  expect(statSync(`${path}-wal`).size).toBeLessThan(2 * logBytes)
  expect(warnings).toEqual([])
})

it('warns where there is no database', async () => {
  checkpoints = startCheckpoints(join(directory, 'nowhere', 'project.db'), (message) =>
    warnings.push(message),
  )
  checkpoints.want()
  await vi.waitFor(() => expect(warnings.join()).toContain('cannot be brought up to date'), patience)
})

function pagesInLog(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA wal_checkpoint(NOOP)').get()?.['log'])
}
