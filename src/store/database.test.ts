import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DatabaseWriter } from './database.ts'
import { journalSchema, journalVersion } from './journal-schema.ts'

describe('a database', () => {
  let directory: string
  let writer: DatabaseWriter

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-store-'))
    writer = new DatabaseWriter()
  })

  afterEach(async () => {
    await writer.close()
    await rm(directory, { recursive: true })
  })

  it('keeps what was written, in order, in WAL with a sync a commit', async () => {
    const path = join(directory, 'journal.db')
    const database = await writer.open(path, journalSchema, journalVersion)
    const order: string[] = []
    database.write([['setFact', 'a', '1']], () => order.push('first'))
    database.write([['setFact', 'a', '2']], () => order.push('second'))
    await database.flushed()
    expect(order).toEqual(['first', 'second'])
    expect(database.reader.prepare('SELECT value FROM facts').get()).toEqual({ value: '2' })
    expect(database.reader.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    await database.close()
    const again = await writer.open(path, journalSchema, journalVersion)
    expect(again.reader.prepare('SELECT value FROM facts').get()).toEqual({ value: '2' })
    await again.close()
  })

  it('writes all of a batch or nothing, and says so', async () => {
    const database = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
    database.write([
      ['setFact', 'good', '1'],
      ['putSample', 1, null, null],
    ])
    await expect(database.flushed()).rejects.toThrow('cannot be written')
    expect(database.reader.prepare('SELECT count(*) AS n FROM facts').get()).toEqual({ n: 0 })
    await database.close()
  })

  it('commits thousands of single changes with few syncs', async () => {
    const database = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
    let commits = 0
    for (let sample = 0; sample < 10_000; sample += 1) {
      database.write([['putSample', 1, sample, null]], () => (commits += 1))
      if (sample % 100 === 0) await Promise.resolve()
    }
    await database.flushed()
    expect(commits).toBe(10_000)
    expect(database.reader.prepare('SELECT count(*) AS n FROM samples').get()).toEqual({ n: 10_000 })
    await database.close()
  })

  it('refuses the file of another version', async () => {
    const path = join(directory, 'journal.db')
    const other = new DatabaseSync(path)
    other.exec('PRAGMA user_version = 99')
    other.close()
    await expect(writer.open(path, journalSchema, journalVersion)).rejects.toThrow('version 99')
  })
})
