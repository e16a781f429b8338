import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FullDisk } from '../../../test/helpers/full-disk.ts'
import { OutputLog } from '../../files/output-log.ts'
import { DatabaseWriter } from '../../store/database.ts'
import { journalSchema, journalVersion } from '../../store/journal-schema.ts'
import { HookWriter, type DisplayOutput } from './hook-writer.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-hooks-'))
})
afterEach(async () => rm(directory, { recursive: true, force: true }))

type Die = (log: OutputLog, text: string, placed: (at: number) => Promise<void>) => Promise<void>

/** One life of a server, in which the hooks display these lines. `die` writes what gets to the disk of the last. */
async function live(lines: readonly string[], die?: Die): Promise<void> {
  const writer = new DatabaseWriter()
  const journal = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
  const log = await OutputLog.open(directory, { headBytes: 40, tailBytes: 200 })
  const dead = Promise.withResolvers<void>()
  const failures: Error[] = []
  const append: DisplayOutput['append'] = async (text, placed) => {
    if (die === undefined) return log.appendAt(text, placed)
    await die(log, text, placed)
    dead.resolve()
    return new Promise(() => undefined)
  }
  const paths = { workDirectory: directory, filesDirectory: directory }
  const hooks = new HookWriter(journal, {
    paths,
    display: { openedBytes: log.totalBytes, append },
    failed: (error) => failures.push(error),
  })
  // What a function prints stands between the displays.
  const began = die === undefined ? log.append('a function began\n') : undefined
  journal.write(hooks.note(lines.map((line) => ({ kind: 'display', text: `${line}\n` }))))
  await journal.flushed()
  hooks.committed(hooks.lastNoted)
  await (die === undefined ? hooks.idle() : dead.promise)
  await began
  if (die === undefined) await log.append('a function ended\n')
  await journal.close()
  await writer.close()
  expect(failures).toEqual([])
}

async function displayed(): Promise<string[]> {
  const text = await (await OutputLog.open(directory, { headBytes: 40, tailBytes: 200 })).read()
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('a function'))
}

const cut =
  (bytes: number): Die =>
  async (log, text, placed) =>
    log.appendAt(Buffer.from(text).subarray(0, bytes).toString(), placed)

it('writes a line of a display once when the server dies just after it was written', async () => {
  await live(['one', 'two'])
  await live(['three', 'four'], cut(1000))
  await live(['five'])
  expect(await displayed()).toEqual(['one', 'two', 'three', 'four', 'five'])
})

it('writes the rest when the server dies in the middle of a line', async () => {
  await live(['one'])
  await live(['twenty two', 'thirty three'], cut(14))
  await live(['four'])
  expect(await displayed()).toEqual(['one', 'twenty two', 'thirty three', 'four'])
})

it('writes all when the server dies before the first byte, and when it dies again and again', async () => {
  await live(['one'], async () => undefined)
  await live(['two'], async (log, text, placed) => {
    const marked = Promise.withResolvers<void>()
    void log.appendAt(text, async (at) => {
      await placed(at)
      marked.resolve()
      return new Promise(() => undefined)
    })
    return marked.promise
  })
  for (const bytes of [1, 2, 3]) await live([`more ${bytes}`], cut(bytes))
  await live(['last'])
  expect(await displayed()).toEqual(['one', 'two', 'more 1', 'more 2', 'more 3', 'last'])
})

it('writes all when a power cut has cost what stood before', async () => {
  await live(['one'], async (log, _text, placed) => placed(log.totalBytes + 10))
  await live(['two'])
  expect(await displayed()).toEqual(['one', 'two'])
})

it('says so when the output cannot be written', async () => {
  const writer = new DatabaseWriter()
  const journal = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
  const failures: string[] = []
  const hooks = new HookWriter(journal, {
    paths: { workDirectory: directory, filesDirectory: directory },
    display: { openedBytes: 0, append: () => Promise.reject(new Error('no space left')) },
    failed: ({ message }) => failures.push(message),
  })
  journal.write(hooks.note([{ kind: 'display', text: 'lost\n' }]))
  await journal.flushed()
  hooks.committed(hooks.lastNoted)
  await hooks.idle()
  await journal.close()
  await writer.close()
  expect(failures).toEqual(['A hook cannot write the output: no space left'])
})

it('leaves what it cannot note as done to the next life, where the server stops with a full disk', async () => {
  const disk = new FullDisk()
  const journal = await disk.open(join(directory, 'journal.db'), journalSchema, journalVersion)
  const log = await OutputLog.open(directory, { headBytes: 40, tailBytes: 200 })
  const failures: string[] = []
  const hooks = new HookWriter(journal, {
    paths: { workDirectory: directory, filesDirectory: directory },
    display: { openedBytes: 0, append: async (text, placed) => log.appendAt(text, placed) },
    failed: ({ message }) => failures.push(message),
  })
  journal.write(
    hooks.note([{ kind: 'append', path: 'rows.csv', text: '1\n', header: 'x\n', keepsOld: false }]),
  )
  await journal.flushed()
  disk.isFull = true
  hooks.committed(hooks.lastNoted)
  await disk.refused
  disk.waitNoMore()
  await hooks.idle()
  await journal.close()
  await disk.close()
  expect(failures).toEqual([expect.stringContaining('disk is full')])

  await live([])
  expect(await readFile(join(directory, 'rows.csv'), 'utf8')).toBe('x\n1\n')
})

it('waits with what was noted while an earlier transaction was on its way: dying in between writes it once', async () => {
  const append = (text: string) =>
    [{ kind: 'append', path: 'rows.csv', text, header: '', keepsOld: false }] as const
  const writer = new DatabaseWriter()
  const journal = await writer.open(join(directory, 'journal.db'), journalSchema, journalVersion)
  const hooks = new HookWriter(journal, {
    paths: { workDirectory: directory, filesDirectory: directory },
    display: { openedBytes: 0, append: () => Promise.resolve() },
    failed: (error) => expect.unreachable(error.message),
  })
  journal.write(hooks.note(append('1\n')))
  const { lastNoted } = hooks
  hooks.note(append('2\n'))
  await journal.flushed()
  hooks.committed(lastNoted)
  await hooks.idle()
  // The server dies here: the second was never committed, so its job runs again and notes it once more.
  await journal.close()
  await writer.close()
  expect(await readFile(join(directory, 'rows.csv'), 'utf8')).toBe('1\n')
})
