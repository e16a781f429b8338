import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { sealSchema } from '../store/checksum.ts'
import { DatabaseWriter } from '../store/database.ts'
import { journalSchema, journalVersion } from '../store/journal-schema.ts'
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
  changeVersion(join(directory, 'molehill.db'), journalVersion + 1)
  await expect(open()).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringMatching(
      new RegExp(`molehill\\.db has version ${journalVersion + 1}, expected ${journalVersion}`),
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

async function writeJournal(id: string): Promise<void> {
  const entry: IndexEntry = {
    id,
    name: 'model',
    script: 'workflow.ts',
    state: 'finished',
    isCancelled: false,
    startedAt: 1,
    endedAt: 2,
    directory: null,
  }
  await mkdir(join(directory, 'executions', id), { recursive: true })
  const path = join(directory, 'executions', id, 'journal.db')
  const journal = await writer.open(path, journalSchema, journalVersion)
  journal.write(entryFacts(entry))
  await journal.flushed()
  await journal.close()
}

function changeVersion(path: string, version: number): void {
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA user_version = ${version}`)
  sealSchema(database)
  database.close()
}
