import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { findDamageAt } from '../../src/store/checksum.ts'
import { uniformAt } from '../../src/workflow/random.ts'
import { startTestEngine } from '../helpers/engine.ts'
import type { Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import { completedJobs } from './read-journal.ts'
import { executionDirectory, packScript, startLife, TortureClient } from './server.ts'
import { untilTrue } from './until.ts'
import { lastTransaction } from './wal.ts'

const size = 150
const endedDeadlineMs = 60_000
/** In memory where that can be had: thousands of cuts take thousands of syncs. */
const fastDirectory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export interface TornOptions {
  readonly seed: number
  /** At so many of the places a whole engine goes on. */
  readonly points: number
  /** At so many places, evenly spread, the journal is opened; every byte where there are fewer. */
  readonly cuts: number
  /** Bytes that are flipped. */
  readonly flips: number
}

/**
 * Cuts the last transaction of a running server's journal at every byte, and flips bytes in its databases. The
 * server must start each time: go on where a transaction was cut, and name what was changed.
 */
export async function torture(options: TornOptions): Promise<Report> {
  const directory = await mkdtemp(join(fastDirectory, 'molehill-torn-'))
  try {
    const base = join(directory, 'base')
    const id = await keepRunningServer(directory, base)
    const opened = await openEveryCut(directory, base, id, options.cuts)
    const cuts = await goOnAfterCuts(directory, base, id, options.points)
    const lives = await serveAfterCuts(directory, base, id, Math.min(options.points, serverCuts))
    const flips = await flipBytes(directory, base, id, options)
    return {
      title: `the last transaction cut at ${opened.cuts} places, ${flips.flips} bytes flipped, seed ${options.seed}`,
      figures: [
        { name: 'bytes of the last transaction', value: cuts.bytes, least: 1 },
        { name: 'cuts after which the journal was opened', value: opened.cuts, least: 1 },
        { name: 'cuts after which it was not whole', value: opened.damaged, most: 0 },
        { name: 'cuts after which an earlier transaction was not there', value: opened.lost, most: 0 },
        { name: 'cuts after which a part of the last transaction was there', value: opened.parts, most: 0 },
        { name: 'cuts after which an engine went on', value: cuts.points - cuts.stuck },
        { name: 'cuts after which an engine did not go on', value: cuts.stuck, most: 0 },
        { name: 'completed jobs lost that an earlier transaction held', value: cuts.lost, most: 0 },
        { name: 'cuts after which a server finished with every row once', value: lives.good },
        { name: 'cuts after which a server did not', value: lives.bad, most: 0 },
        { name: 'bytes flipped', value: flips.flips },
        { name: 'flips found and named', value: flips.named, least: 1 },
        { name: 'flips that changed nothing', value: flips.harmless },
        { name: 'flips that changed something unnoticed', value: flips.silent, most: 0 },
        { name: 'damaged files not set aside', value: flips.notSetAside, most: 0 },
      ],
      faults: [...opened.faults, ...cuts.faults, ...lives.faults, ...flips.faults],
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const serverCuts = 3

/** Copies the data directory of a server that stands still in the middle of an execution, and kills the server. */
async function keepRunningServer(directory: string, base: string): Promise<string> {
  const dataDirectory = join(directory, 'data')
  const life = await startLife(dataDirectory)
  try {
    const client = new TortureClient()
    await client.login(life)
    const { json } = await client.start(life, packScript(fanScript(size)))
    const id = String(json['id'])
    await untilTrue(
      'a fifth of the jobs is done',
      async () => Number((await client.state(life, id)).json['completed']) > size / 5,
      { forMs: 60_000, everyMs: 10 },
    )
    process.kill(life.pid, 'SIGSTOP')
    await cp(dataDirectory, base, { recursive: true })
    return id
  } finally {
    await life.end('SIGKILL')
  }
}

/** Opens the journal as the server does at its start, for each byte at which the last transaction may be cut. */
async function openEveryCut(directory: string, base: string, id: string, most: number) {
  const journal = await readFile(join(executionDirectory(base, id), 'journal.db'))
  const log = await readFile(join(executionDirectory(base, id), 'journal.db-wal'))
  const { from, to } = lastTransaction(log)
  const cuts = Math.min(most, to - from)
  const found = { cuts, damaged: 0, lost: 0, parts: 0, faults: [] as string[] }
  const home = join(directory, 'opened')
  const path = join(executionDirectory(home, id), 'journal.db')
  mkdirSync(executionDirectory(home, id), { recursive: true })
  let before: string | undefined
  for (let cut = 0; cut < cuts; cut += 1) {
    const at = from + Math.floor(((to - from) * cut) / cuts)
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true })
    writeFileSync(path, journal)
    writeFileSync(`${path}-wal`, log.subarray(0, at))
    const damage = findDamageAt(path)
    if (damage !== undefined) {
      found.damaged += 1
      found.faults.push(`cut at byte ${at} of ${from} to ${to}: ${damage}`)
      continue
    }
    // The first cut takes away the whole transaction: nothing else may be there after the others.
    const now = dump(path)
    before ??= now
    if (now === before) continue
    if (completedJobs(home, id).size < jobsIn(before)) found.lost += 1
    else found.parts += 1
    found.faults.push(`cut at byte ${at} of ${from} to ${to}: the journal holds something else`)
  }
  await rm(home, { recursive: true, force: true })
  return found
}

/** How many completed jobs a dump tells of. */
function jobsIn(dumped: string): number {
  return dumped.split('"state":"completed"').length - 1
}

/** A few cuts at the end of which a real server does the rest. */
async function serveAfterCuts(directory: string, base: string, id: string, count: number) {
  const found = { good: 0, bad: 0, faults: [] as string[] }
  for (let cut = 0; cut < count; cut += 1) {
    const dataDirectory = join(directory, 'served')
    const at = await cutCopy(base, dataDirectory, id, cut, count)
    const life = await startLife(dataDirectory)
    try {
      const client = new TortureClient()
      await client.login(life)
      const state = async () => (await client.state(life, id)).json['state']
      await untilTrue('it has ended', async () => (await state()) !== 'running', { forMs: endedDeadlineMs })
      const { json } = await client.post(life, 'output', { id })
      const rows = await checkHookRows(dataDirectory, id, size, String(json['output']))
      if ((await state()) !== 'finished' || Object.values(rows).some((wrong) => wrong !== 0))
        throw new Error(`it is ${String(await state())}, ${JSON.stringify(rows)}`)
      found.good += 1
    } catch (error) {
      found.bad += 1
      found.faults.push(`a server after a cut at byte ${at}: ${String(error)}`)
    } finally {
      await life.end('SIGTERM')
      await rm(dataDirectory, { recursive: true, force: true })
    }
  }
  return found
}

/** Copies a data directory and cuts the last transaction of its execution. Gives the place of the cut. */
async function cutCopy(
  base: string,
  dataDirectory: string,
  id: string,
  cut: number,
  cuts: number,
): Promise<number> {
  await cp(base, dataDirectory, { recursive: true })
  const journal = join(executionDirectory(dataDirectory, id), 'journal.db')
  const { from, to } = lastTransaction(await readFile(`${journal}-wal`))
  const at = from + Math.floor(((to - from) * cut) / cuts)
  await truncate(`${journal}-wal`, at)
  await rm(`${journal}-shm`, { force: true })
  return at
}

async function goOnAfterCuts(directory: string, base: string, id: string, points: number) {
  const log = await readFile(join(executionDirectory(base, id), 'journal.db-wal'))
  const { from, to } = lastTransaction(log)
  const count = Math.min(points, to - from)
  const found = { bytes: to - from, points: count, stuck: 0, lost: 0, faults: [] as string[] }
  let before: ReadonlyMap<string, number> | undefined
  for (let point = 0; point < count; point += 1) {
    const dataDirectory = join(directory, 'cut')
    const at = await cutCopy(base, dataDirectory, id, point, count)
    // The first cut takes away the whole transaction: what is left then must always be left.
    before ??= completedJobs(dataDirectory, id)
    try {
      await using engine = await startTestEngine({ dataDirectory })
      const now = completedJobs(dataDirectory, id)
      for (const [job, endedAt] of before) if (now.get(job) !== endedAt) found.lost += 1
      const known = now.size
      await untilTrue(
        'another job is completed',
        () => engine.executions.state(id).counts.completed > known,
        { forMs: endedDeadlineMs, everyMs: 10 },
      )
      if (point === 0 || point === count - 1) await endsWell(engine.executions, id)
    } catch (error) {
      found.stuck += 1
      found.faults.push(`cut at byte ${at} of ${from} to ${to}: ${String(error)}`)
    } finally {
      await rm(dataDirectory, { recursive: true, force: true })
    }
  }
  return found
}

type Executions = Awaited<ReturnType<typeof startTestEngine>>['executions']

async function endsWell(executions: Executions, id: string): Promise<void> {
  const { state, error } = await executions.ended(id, AbortSignal.timeout(endedDeadlineMs))
  if (state !== 'finished') throw new Error(`The execution is ${state}: ${error?.message}`)
}

async function flipBytes(directory: string, base: string, id: string, { flips, seed }: TornOptions) {
  const found = { flips: 0, named: 0, harmless: 0, silent: 0, notSetAside: 0, faults: [] as string[] }
  const names = [join('executions', id, 'journal.db'), 'molehill.db']
  for (const name of names) settle(join(base, name))
  for (const [stream, name] of names.entries()) {
    const bytes = await readFile(join(base, name))
    const original = dump(join(base, name))
    const path = join(directory, 'flipped.db')
    let example: number | undefined
    for (let flip = 0; flip < flips / names.length; flip += 1) {
      const at = Math.floor(uniformAt(seed, stream, flip) * bytes.length)
      await writeFile(path, flipped(bytes, at, flip % 8))
      found.flips += 1
      const damage = findDamageAt(path)
      if (damage !== undefined) {
        found.named += 1
        // The first hundred bytes say what file this is: they are another matter.
        if (at > 100) example ??= flip
      } else if (dump(path) === original) found.harmless += 1
      else {
        found.silent += 1
        found.faults.push(`bit ${flip % 8} of byte ${at} of ${name} is another, and nobody says so`)
      }
      await removeDatabase(path)
    }
    if (example !== undefined) {
      const at = Math.floor(uniformAt(seed, stream, example) * bytes.length)
      const fault = await isSetAside(directory, base, name, flipped(bytes, at, example % 8))
      if (fault !== undefined) {
        found.notSetAside += 1
        found.faults.push(fault)
      }
    }
  }
  return found
}

/** Starts an engine on a damaged database. Answers with what is wrong with how it takes it. */
async function isSetAside(
  directory: string,
  base: string,
  name: string,
  bytes: Buffer,
): Promise<string | undefined> {
  const dataDirectory = join(directory, 'damaged')
  await cp(base, dataDirectory, { recursive: true })
  await writeFile(join(dataDirectory, name), bytes)
  try {
    await using engine = await startTestEngine({ dataDirectory })
    if (!engine.warnings.join('\n').includes('is damaged')) return `${name}: no warning names the damage`
    const beside = await readdir(join(dataDirectory, name, '..'))
    const [file = ''] = name.split('/').slice(-1)
    return beside.includes(`${file}.damaged`) ? undefined : `${name} is not set aside`
  } catch (error) {
    return `${name}: the engine did not start: ${String(error)}`
  } finally {
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

/** Brings what is in the log into the file itself. */
function settle(path: string): void {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;')
  database.close()
}

/** All that a database holds, its schema and version included. */
function dump(path: string): string {
  const database = new DatabaseSync(path)
  try {
    const schema = database.prepare('SELECT type, name, sql FROM sqlite_schema').all()
    const tables = schema.filter(({ type }) => type === 'table').map(({ name }) => String(name))
    const rows = tables.map((table) => database.prepare(`SELECT * FROM "${table}"`).all())
    return JSON.stringify([database.prepare('PRAGMA user_version').get(), schema, rows])
  } catch (error) {
    return String(error)
  } finally {
    database.close()
  }
}

function flipped(bytes: Buffer, at: number, bit: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ (1 << bit)
  return copy
}

async function removeDatabase(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm', '-journal']) await rm(path + suffix, { force: true })
}
