import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checksumOf, sealSchema } from '../store/checksum.ts'
import { DatabaseWriter } from '../store/database.ts'
import { indexVersion, journalSchema, journalVersion, type Write } from '../store/journal-schema.ts'
import type { ExecutionQuery } from './contract.ts'
import { entryFacts, ExecutionIndex, type IndexEntry } from './execution-index.ts'

let directory: string
let writer: DatabaseWriter
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-index-'))
  await mkdir(join(directory, 'executions'))
  writer = new DatabaseWriter()
})
afterEach(async () => {
  await writer.close()
  await rm(directory, { recursive: true, force: true })
})

const warnings: string[] = []
const open = async (): Promise<ExecutionIndex> =>
  ExecutionIndex.open(directory, writer, (message) => warnings.push(message))

it('refuses the index of another version, says what to do, and leaves it as it is', async () => {
  await (await open()).close()
  changeVersion(join(directory, 'molehill.db'), indexVersion + 1)
  await expect(open()).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringMatching(
      new RegExp(`molehill\\.db has version ${indexVersion + 1}, expected ${indexVersion}`),
    ),
    hint: expect.stringContaining('--data-directory'),
  })
  expect(await readdir(directory)).not.toContain('molehill.db.damaged')
})

it('refuses an index that was made before its tables had a checksum', async () => {
  await (await open()).close()
  const index = new DatabaseSync(join(directory, 'molehill.db'))
  index.exec('PRAGMA application_id = 0')
  index.close()
  await expect(open()).rejects.toMatchObject({ code: 'configuration-invalid' })
  expect(await readdir(directory)).not.toContain('molehill.db.damaged')
})

it('knows all executions after a loss of the index, also when making it anew was broken off', async () => {
  for (const id of ['a', 'b', 'c']) await writeJournal(id)
  changeVersion(join(directory, 'executions', 'b', 'journal.db'), journalVersion + 1)
  await expect(open()).rejects.toThrow('has version')
  changeVersion(join(directory, 'executions', 'b', 'journal.db'), journalVersion)
  const index = await open()
  expect(
    index
      .list()
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(['a', 'b', 'c'])
  await index.close()
  expect((await open()).list()).toHaveLength(3)
})

it('finds executions by owner and labels, also when it is opened again and when it is made anew', async () => {
  const index = await open()
  for (const [id, owner, labels] of [
    ['a', 'ann', { batch: '1', run: 'x' }],
    ['b', 'bob', { batch: '1', run: 'x' }],
    ['c', 'ann', { batch: '1' }],
    ['d', '', { batch: '2' }],
  ] as const) {
    await writeJournal(id, { owner, labels })
    await index.put(entryOf(id, { owner, labels }))
  }
  const expectFound = (opened: ExecutionIndex): void => {
    const found = (query: ExecutionQuery) =>
      opened
        .list(query)
        .map(({ id }) => id)
        .toSorted()
        .join('')
    expect(found({ owner: 'ann' })).toBe('ac')
    expect(found({ owner: 'ann', labels: { batch: '1', run: 'x' } })).toBe('a')
    expect(found({ labels: { batch: '1' } })).toBe('abc')
    expect(found({ owner: '' })).toBe('d')
    expect(found({ owner: 'bob', labels: { batch: '2' } })).toBe('')
    expect(found({})).toBe('abcd')
    expect(opened.get('a')).toMatchObject({ owner: 'ann', labels: { batch: '1', run: 'x' } })
  }
  expectFound(index)
  await index.close()
  const again = await open()
  expectFound(again)
  await again.close()
  await rm(join(directory, 'molehill.db'))
  const anew = await open()
  expectFound(anew)
  await anew.remove('a')
  expect(anew.list({ owner: 'ann' }).map(({ id }) => id)).toEqual(['c'])
  await anew.close()
})

it("takes over the index and the journals of before there were users: all is the operator's", async () => {
  const older = new DatabaseSync(join(directory, 'molehill.db'))
  older.exec(`
    CREATE TABLE executions (
      id TEXT PRIMARY KEY, name TEXT NOT NULL, script TEXT NOT NULL, directory TEXT, state TEXT NOT NULL,
      is_cancelled INTEGER NOT NULL, started_at REAL NOT NULL, ended_at REAL, last TEXT, checksum INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE start_keys (
      key TEXT PRIMARY KEY, digest TEXT NOT NULL, execution TEXT NOT NULL, time REAL NOT NULL, checksum INTEGER NOT NULL
    ) WITHOUT ROWID;
    PRAGMA user_version = 2;`)
  sealSchema(older)
  const row = ['a', 'model', 'flow.ts', null, 'finished', 0, 1, 2, '{"id":"a"}'] as const
  older.prepare('INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)').run(...row, checksumOf(row))
  const key = ['retry-1', 'digest', 'a', 1000] as const
  older.prepare('INSERT INTO start_keys VALUES (?, ?, ?, ?, ?)').run(...key, checksumOf(key))
  older.close()
  const index = await open()
  const expected = { id: 'a', owner: '', labels: {}, name: 'model', script: 'flow.ts', endedAt: 2 }
  expect(index.list()).toMatchObject([expected])
  expect(index.last('a')).toEqual({ id: 'a' })
  expect(index.findStart('retry-1', 2000)).toEqual({ digest: 'digest', execution: 'a' })
  await index.close()
  expect(warnings).toEqual([])

  // The journals have no owner either.
  await rm(join(directory, 'molehill.db'))
  const { owner: _, labels: __, ...before } = entryOf('b')
  await writeFact('b', ['setFact', 'entry', JSON.stringify(before)])
  const anew = await open()
  expect(anew.get('b')).toEqual(entryOf('b'))
  await anew.close()
})

function entryOf(id: string, own: Partial<IndexEntry> = {}): IndexEntry {
  return {
    id,
    owner: '',
    labels: {},
    name: 'model',
    script: 'workflow.ts',
    state: 'finished',
    isCancelled: false,
    startedAt: 1,
    endedAt: 2,
    directory: null,
    ...own,
  }
}

async function writeJournal(id: string, own?: Partial<IndexEntry>): Promise<void> {
  for (const fact of entryFacts(entryOf(id, own))) await writeFact(id, fact)
}

async function writeFact(id: string, fact: Write): Promise<void> {
  await mkdir(join(directory, 'executions', id), { recursive: true })
  const path = join(directory, 'executions', id, 'journal.db')
  const journal = await writer.open(path, journalSchema, journalVersion)
  journal.write([fact])
  await journal.flushed()
  await journal.close()
}

function changeVersion(path: string, version: number): void {
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA user_version = ${version}`)
  sealSchema(database)
  database.close()
}
