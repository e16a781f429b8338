import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FullDisk } from '../../test/helpers/full-disk.ts'
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
    database.write([['setFact', 'a', '1']])
    database.write([['setFact', 'a', '2']])
    await database.flushed()
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
    let committed = 0
    database.endTransactions(() => ({ writes: [], committed: () => (committed += 1) }))
    for (let sample = 0; sample < 10_000; sample += 1) {
      database.write([['putSample', 1, sample, null]])
      if (sample % 100 === 0) await nextTurn()
    }
    await database.flushed()
    expect(committed).toBeGreaterThan(0)
    expect(committed).toBeLessThan(100)
    expect(database.reader.prepare('SELECT count(*) AS n FROM samples').get()).toEqual({ n: 10_000 })
    await database.close()
  })

  it('ends each transaction with what belongs there, also when nothing else is written', async () => {
    const database = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
    let transactions = 0
    database.endTransactions(() => {
      transactions += 1
      return { writes: [['setFact', 'transactions', String(transactions)]], committed: () => undefined }
    })
    database.write([['setFact', 'a', '1']])
    database.write([['setFact', 'a', '2']])
    await database.flushed()
    database.write([])
    await database.flushed()
    const facts = database.reader.prepare('SELECT name, value FROM facts ORDER BY name').all()
    expect(facts).toMatchObject([
      { name: 'a', value: '2' },
      { name: 'transactions', value: '2' },
    ])
    await database.close()
  })

  it('does not let a flush wait for what is written after it', async () => {
    const database = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
    const stop = new AbortController()
    const keepsWriting = (async () => {
      for (let sample = 0; !stop.signal.aborted; sample += 1) {
        database.write([['putSample', 1, sample, null]])
        await nextTurn()
      }
    })()
    database.write([['setFact', 'a', '1']])
    await database.flushed()
    stop.abort()
    await keepsWriting
    await database.flushed()
    await database.close()
  })

  it('waits for space on a full disk until it is told to wait no more', { timeout: 60_000 }, async () => {
    const full = new FullDisk()
    const database = await full.open(join(directory, 'journal.db'), journalSchema, journalVersion)
    try {
      full.isFull = true
      database.write([['setFact', 'a', '1']])
      await full.refused
      full.isFull = false
      await database.flushed()
      expect(database.reader.prepare('SELECT value FROM facts').get()).toEqual({ value: '1' })

      full.isFull = true
      database.write([['setFact', 'a', '2']])
      const flushed = database.flushed()
      full.waitNoMore()
      await expect(flushed).rejects.toMatchObject({
        code: 'disk-full',
        message: expect.stringContaining('is full'),
      })
      expect(database.reader.prepare('SELECT value FROM facts').get()).toEqual({ value: '1' })
    } finally {
      await database.close()
      await full.close()
    }
  })

  it('refuses the file of another version', async () => {
    const path = join(directory, 'journal.db')
    const other = new DatabaseSync(path)
    other.exec('PRAGMA user_version = 99')
    other.close()
    await expect(writer.open(path, journalSchema, journalVersion)).rejects.toThrow('version 99')
  })
})
