import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { DatabaseWriter } from '../store/database.ts'
import { journalSchema, journalVersion } from '../store/journal-schema.ts'
import { RunJournal } from './run-journal.ts'

it('says of each transaction that it is committed, with what was known when it was put together', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-run-journal-'))
  const writer = new DatabaseWriter()
  const database = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
  let recorded = 0
  const committed: number[] = []
  const putTogether = Promise.withResolvers<void>()
  const journal = new RunJournal(database, {
    graph: { steps: [], given: {}, leaving: [], arriving: [], roots: [], aggregations: [] },
    environments: 0,
    now: () => 0,
    endTransaction: () => {
      const known = recorded
      putTogether.resolve()
      return () => committed.push(known)
    },
  })
  recorded = 1
  journal.event('first', {})
  await putTogether.promise
  recorded = 2
  journal.event('second', {})
  await journal.flushed()
  await journal.flushed()
  expect(committed).toEqual([1, 2])
  await database.close()
  await writer.close()
  await rm(directory, { recursive: true, force: true })
})
