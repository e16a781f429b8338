/**
 * The thread that owns the project of volunteers. It takes all calls that wait, does them in one transaction and answers
 * when that is on the disk; meanwhile the next ones gather. So a thousand requests a second are some hundred syncs.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { toProblem } from '../problem.ts'
import { accountIdOf, accountsSchema } from './accounts.ts'
import type { ProjectCall, ThreadReply, ThreadRequest } from './project-calls.ts'
import { openProjectDatabase } from './project-database.ts'
import { Project, type BatchResult, type Reading } from './project.ts'
import { readRequest } from './protocol/read-request.ts'
import { createReplyWriter, trustsKey, type ReplySettings } from './protocol/write-reply.ts'
import { startArchiveReader, type ArchiveReader } from './read-archives.ts'
import { remember } from './remember.ts'
import { sortResults } from './sort-results.ts'
import type { Judgement } from './transitions.ts'

/** What the thread is started with. */
export interface ThreadData {
  readonly directory: string
  readonly settings: ReplySettings
  readonly accountSecret: Uint8Array
}

const batchAtMost = 200
const namesAtMost = 1000
const accountsKept = 10_000
const sweptAtMost = 200
const sweepMs = 1000
/** Workunits whose archives are read before what they say is written down. */
const readAtMost = 32
/** After an archive could not be read for a reason that is ours. */
const readAgainMs = 30_000

const { directory, settings, accountSecret } = workerData as ThreadData
const waiting: (readonly [number, ProjectCall])[] = []
let isDue = false
let isReading = false
let isReadingWanted = true

function tell(reply: ThreadReply): void {
  parentPort?.postMessage(reply)
}

function open() {
  const uploadDirectory = join(directory, 'uploads')
  for (let byte = 0; byte < 256; byte += 1)
    mkdirSync(join(uploadDirectory, byte.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 })
  const database = openProjectDatabase(join(directory, 'project.db'), accountsSchema)
  const project = new Project({
    database,
    uploadDirectory,
    readRequest,
    writeReply: createReplyWriter(settings),
    accountOf: remember((authenticator) => accountIdOf(authenticator, accountSecret), accountsKept),
    trustsKey: (held) => trustsKey(held, settings),
    now: Date.now,
    random: Math.random,
    // 122 bits of it are random.
    secret: () => randomUUID().replaceAll('-', ''),
  })
  return { database, project }
}

function start({ database, project }: ReturnType<typeof open>): void {
  const reader = startArchiveReader()

  const finish = ({ changed, unneeded }: BatchResult): void => {
    for (let from = 0; from < changed.length; from += namesAtMost)
      tell({ kind: 'changed', names: changed.slice(from, from + namesAtMost) })
    for (const path of unneeded) rmSync(path, { force: true })
  }

  const guard = (work: () => void): void => {
    try {
      work()
    } catch (error) {
      tell({ kind: 'warning', message: `The project of volunteers: ${toProblem(error).message}` })
    }
  }

  const runBatch = (): void => {
    isDue = false
    const batch = waiting.splice(0, batchAtMost)
    const result = project.run(batch.map(([, call]) => call))
    const outcomes = result.outcomes.flatMap((outcome, at) => {
      const number = batch[at]?.[0]
      return number === undefined ? [] : [[number, outcome] as const]
    })
    tell({ kind: 'outcomes', outcomes })
    guard(() => finish(result))
    if (result.changed.length > 0) wantReading()
    if (waiting.length > 0) beDue()
  }

  const beDue = (): void => {
    if (isDue) return
    isDue = true
    setImmediate(runBatch)
  }

  const sweep = (): void => {
    guard(() => {
      const result = project.sweep(sweptAtMost)
      finish(result)
      if (result.count === sweptAtMost) setImmediate(sweep)
    })
  }

  const wantReading = (): void => {
    isReadingWanted = true
    if (!isReading) void readAll()
  }

  const readAll = async (): Promise<void> => {
    isReading = true
    try {
      while (isReadingWanted) {
        isReadingWanted = false
        for (let last: number | undefined = 0; last !== undefined;) {
          const found = project.readings(last, readAtMost)
          last = found.last
          if (found.readings.length > 0) finish(project.judge(await readArchives(reader, found.readings)))
        }
      }
    } catch (error) {
      tell({
        kind: 'warning',
        message: `A result of a volunteer's host cannot be read: ${toProblem(error).message}`,
      })
      setTimeout(wantReading, readAgainMs).unref()
    } finally {
      isReading = false
    }
  }

  parentPort?.on('message', (request: ThreadRequest) => {
    if (request.kind === 'close') {
      while (waiting.length > 0) runBatch()
      clearInterval(sweeping)
      database.close()
      process.exit(0)
    }
    for (const [at, call] of request.calls.entries()) waiting.push([request.first + at, call])
    beDue()
  })
  const sweeping = setInterval(sweep, sweepMs)
  wantReading()
}

/** Reads the archives of several workunits in one go. */
async function readArchives(reader: ArchiveReader, readings: readonly Reading[]) {
  const digests = await reader.read(readings.flatMap(({ archives }) => archives.map(({ path }) => path)))
  let next = 0
  const judged: { readonly workunit: number; readonly judgements: readonly Judgement[] }[] = []
  for (const { workunit, archives, comparison } of readings) {
    const read = archives.flatMap(({ number, path }) => {
      const digest = digests[next]
      next += 1
      return digest === undefined ? [] : [{ number, path, digest }]
    })
    judged.push({
      workunit,
      judgements:
        comparison === undefined
          ? read.map(({ number, digest }) => ({ ...digest, number }))
          : await sortResults(read, comparison.known, (left, right) =>
              reader.compare(left, right, comparison.agreement),
            ),
    })
  }
  return judged
}

try {
  start(open())
  tell({ kind: 'ready' })
} catch (error) {
  const { code, message, hint } = toProblem(error)
  tell({
    kind: 'not-opened',
    outcome: { kind: 'refused', code, message, ...(hint === undefined ? {} : { hint }) },
  })
}
