/**
 * The thread that owns the project of volunteers. It takes all calls that wait, does them in one transaction and answers
 * when that is on the disk; meanwhile the next ones gather. So a thousand requests a second are some hundred syncs.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import type { NotYet, Sameness } from '../environment/sameness.ts'
import { toProblem } from '../problem.ts'
import { accountIdOf, accountsSchema } from './accounts.ts'
import {
  isJudgedElsewhere,
  judgeElsewhere,
  judgeResults,
  readArchives,
  type ReadWorkunit,
} from './judge-results.ts'
import type { ProjectCall, ThreadReply, ThreadRequest } from './project-calls.ts'
import { startCheckpoints } from './checkpoints.ts'
import { openProjectDatabase } from './project-database.ts'
import { Project, type BatchResult, type Judged } from './project.ts'
import { readRequest } from './protocol/read-request.ts'
import { createReplyWriter, trustsKey, type ReplySettings } from './protocol/write-reply.ts'
import { startArchiveReader } from './read-archives.ts'
import { remember } from './remember.ts'

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
const tidyMs = 3_600_000
/** Workunits whose archives are read before what they say is written down. */
const readAtMost = 32
/** After an archive could not be read for a reason that is ours. */
const readAgainMs = 30_000
/** Workunits whose results others compare at the same time. */
const comparedAtMost = 16
/** After somebody could not be asked yet to compare results. */
const askAgainMs = 5000

const { directory, settings, accountSecret } = workerData as ThreadData
const databasePath = join(directory, 'project.db')
const waiting: (readonly [number, ProjectCall])[] = []
let isDue = false
let isReading = false
let isReadingWanted = true
/** Workunits whose results somebody else compares. */
const comparing = new Set<number>()
const asked = new Map<number, (sameness: Sameness | NotYet) => void>()
let lastPair = 0

function tell(reply: ThreadReply): void {
  parentPort?.postMessage(reply)
}

function open() {
  const uploadDirectory = join(directory, 'uploads')
  for (let byte = 0; byte < 256; byte += 1)
    mkdirSync(join(uploadDirectory, byte.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 })
  const database = openProjectDatabase(databasePath, accountsSchema)
  // `checkpoints` does what this would do amid requests.
  database.exec('PRAGMA wal_autocheckpoint = 0')
  const project = new Project({
    database,
    uploadDirectory,
    readRequest,
    writeReply: createReplyWriter(settings),
    accountOf: remember((authenticator) => accountIdOf(authenticator, accountSecret), accountsKept),
    trustsKey: (held) => trustsKey(held, settings),
    isMoved: settings.movedTo !== undefined,
    now: Date.now,
    random: Math.random,
    // 122 bits of it are random.
    secret: () => randomUUID().replaceAll('-', ''),
  })
  return { database, project }
}

function start({ database, project }: ReturnType<typeof open>): void {
  const reader = startArchiveReader()
  const checkpoints = startCheckpoints(databasePath, (message) =>
    tell({ kind: 'warning', message: `The project of volunteers: ${message}` }),
  )
  let read: { readonly judged: readonly Judged[]; readonly taken: PromiseWithResolvers<void> } | undefined
  let removing: Promise<void> = Promise.resolve()

  const finish = ({ changed, unneeded }: BatchResult): void => {
    for (let from = 0; from < changed.length; from += namesAtMost)
      tell({ kind: 'changed', names: changed.slice(from, from + namesAtMost) })
    for (const path of unneeded) removing = removing.then(() => remove(path))
  }

  /** Amid requests, as that of many takes long: one after the other, each in the thread pool. */
  const remove = async (path: string): Promise<void> => {
    try {
      await rm(path, { force: true })
    } catch (error) {
      tell({ kind: 'warning', message: `The project of volunteers: ${toProblem(error).message}` })
    }
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
    const readings = read
    read = undefined
    if (batch.length === 0 && readings === undefined) return
    const result = project.run(
      batch.map(([, call]) => call),
      readings?.judged,
    )
    const outcomes = result.outcomes.flatMap((outcome, at) => {
      const number = batch[at]?.[0]
      return number === undefined ? [] : [[number, outcome] as const]
    })
    tell({ kind: 'outcomes', outcomes })
    if (result.readingFailure === undefined) readings?.taken.resolve()
    else readings?.taken.reject(result.readingFailure)
    guard(() => finish(result))
    checkpoints.want()
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

  /** Has it written down with the calls that wait, for one sync less. */
  const takeDown = (judged: readonly Judged[]): Promise<void> => {
    const taken = read?.taken ?? Promise.withResolvers<void>()
    read = { judged: [...(read?.judged ?? []), ...judged], taken }
    beDue()
    return taken.promise
  }

  const wantReading = (): void => {
    isReadingWanted = true
    if (!isReading) void readAll()
  }

  const judge = async (read: readonly ReadWorkunit[]): Promise<void> => {
    const judged: Judged[] = []
    for (const each of read)
      if (isJudgedElsewhere(each)) void compareElsewhere(each)
      else judged.push(await judgeResults(each, (...pair) => reader.compare(...pair)))
    if (judged.length > 0) await takeDown(judged)
  }

  /** Takes as long as it takes: others are judged meanwhile. */
  const compareElsewhere = async (read: ReadWorkunit): Promise<void> => {
    comparing.add(read.workunit)
    const judged = await judgeElsewhere(read, (pair) => {
      const { promise, resolve } = Promise.withResolvers<Sameness | NotYet>()
      lastPair += 1
      asked.set(lastPair, resolve)
      tell({ kind: 'compare', number: lastPair, pair })
      return promise
    })
    try {
      if (judged !== undefined) await takeDown([judged])
    } catch (error) {
      tell({ kind: 'warning', message: `The project of volunteers: ${toProblem(error).message}` })
    }
    comparing.delete(read.workunit)
    setTimeout(wantReading, judged === undefined ? askAgainMs : 0).unref()
  }

  const readAll = async (): Promise<void> => {
    isReading = true
    try {
      while (isReadingWanted) {
        isReadingWanted = false
        for (let last: number | undefined = 0; last !== undefined;) {
          const found = project.readings(last, readAtMost, comparing)
          last = found.last
          const free = comparedAtMost - comparing.size
          const tooMany = new Set(found.readings.filter(isJudgedElsewhere).slice(free))
          const readings = found.readings.filter((reading) => !tooMany.has(reading))
          if (readings.length > 0) await judge(await readArchives(reader, readings))
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
      clearInterval(tidying)
      void removing.then(() => {
        database.close()
        process.exit(0)
      })
      return
    }
    if (request.kind === 'compared') {
      asked.get(request.number)?.(request.sameness)
      asked.delete(request.number)
      return
    }
    for (const [at, call] of request.calls.entries()) waiting.push([request.first + at, call])
    beDue()
  })
  const sweeping = setInterval(sweep, sweepMs)
  const tidying = setInterval(() => guard(() => project.tidy()), tidyMs)
  wantReading()
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
