import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { uniformAt } from '../../src/workflow/random.ts'
import { medianOf, stopFigures, type Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import {
  commandLineOf,
  processesIn,
  processesNaming,
  processTree,
  stillAlive,
  type ProcessIdentity,
} from './processes.ts'
import { completedJobs, functionRuns } from './read-journal.ts'
import {
  executionDirectory,
  packScript,
  startLife,
  TortureClient,
  type Answer,
  type Ending,
  type Life,
} from './server.ts'
import { untilTrue } from './until.ts'

/** Executions that are kept going at the same time. */
const atOnce = 3
const longestLifeMs = 3500
const usualStartMs = 2000
const endMs = 240_000
/** In so many lives the first thing is to cancel an execution. */
const cancelShare = 0.3
/** So many lives end with a SIGTERM instead. */
const stopShare = 0.1
/** Commands of so many executions take their time, so that a cancel finds them running. */
const slowShare = 0.3
const firstAnswerMs = 60_000
/** What was over long ago is looked at again after so many kills, and at the end: there is more of it with each. */
const compareAllEvery = 25

interface Watched {
  readonly size: number
  /** When each job that was ever seen completed had ended, by step and ticket. */
  readonly completed: Map<string, number>
  /** How often the function had run for a sample when its job was first seen completed. */
  readonly runs: Map<string, number>
  /** A cancel of it was answered. */
  isCancelled: boolean
  /** A cancel of it was asked for, and nobody heard the answer. */
  mayBeCancelled: boolean
  isOver: boolean
  /** Its jobs were compared after it was over. */
  isCompared: boolean
}

/**
 * Kills a server again and again while workflows run in it, and compares what it knows and what it wrote with what
 * it had promised. The same seed kills after the same waits.
 */
export async function torture(options: {
  readonly kills: number
  readonly seed: number
  /** After so long no further kill begins. */
  readonly mostMs?: number
}): Promise<Report> {
  const until = performance.now() + (options.mostMs ?? Infinity)
  const directory = await mkdtemp(join(tmpdir(), 'molehill-torture-'))
  const trial = new KillTrial(join(directory, 'data'), options.seed)
  let kills = 0
  try {
    for (; kills < options.kills && performance.now() < until; kills += 1) {
      await trial.liveAndDie(kills)
      if (kills % 50 === 49) process.stderr.write(`${kills + 1} of ${options.kills} kills\n`)
    }
    await trial.liveToTheEnd()
  } catch (error) {
    // What was found until then is worth telling.
    trial.giveUp(error)
  } finally {
    await trial.close()
    await rm(directory, { recursive: true, force: true })
  }
  return trial.report(kills)
}

class KillTrial {
  readonly #dataDirectory: string
  readonly #seed: number
  readonly #client = new TortureClient()
  readonly #watched = new Map<string, Watched>()
  readonly #startsMs: number[] = []
  readonly #endings: Ending[] = []
  readonly #faults: string[] = []
  readonly #counts = {
    unknown: 0,
    ranAgain: 0,
    wentBack: 0,
    rowsLost: 0,
    rowsDoubled: 0,
    linesLost: 0,
    linesDoubled: 0,
    endless: 0,
    badEnds: 0,
    cancelsLost: 0,
    cancelsLeaving: 0,
    leftBehind: 0,
    cancelsAsked: 0,
    cancelled: 0,
    cancelledEnds: 0,
    unanswered: 0,
    secondRuns: 0,
  }
  #life: Life | undefined
  /** Whether the life under way has been told to end: nobody need answer any more. */
  #isEnding = false
  #stops = 0

  constructor(dataDirectory: string, seed: number) {
    this.#dataDirectory = dataDirectory
    this.#seed = seed
  }

  /**
   * One life: starts the server, keeps it busy, kills it at a random moment, and looks at what is left. The first one
   * lasts until a start was answered, however slow the computer is.
   */
  async liveAndDie(kill: number): Promise<void> {
    const life = await this.#begin()
    // On a busy computer all takes longer, and a life in which nothing happens shows nothing.
    const lifeMs = uniformAt(this.#seed, 0, kill) * longestLifeMs * Math.max(1, life.startMs / usualStartMs)
    const busy = this.#keepBusy(life, kill)
    if (kill === 0)
      await untilTrue('a start is answered', () => this.#watched.size > 0, { forMs: firstAnswerMs })
    await delay(lifeMs)
    const processes = processTree(life.pid)
    this.#isEnding = true
    if (uniformAt(this.#seed, 4, kill) < stopShare) {
      this.#stops += 1
      this.#endings.push(await life.end('SIGTERM'))
    } else await life.end('SIGKILL')
    await busy
    await this.#countLeftBehind(processes)
    const isTimeForAll = kill % compareAllEvery === 0
    for (const [id, watched] of this.#watched) {
      if (watched.isCompared && !isTimeForAll) continue
      this.#compareJobs(id, watched)
      watched.isCompared = watched.isOver
    }
  }

  /** The last life: everything ends, and every row is where it belongs. */
  async liveToTheEnd(): Promise<void> {
    const life = await this.#begin()
    for (const [id, watched] of this.#watched) {
      const state = await this.#awaitEnd(life, id)
      if (state !== undefined) await this.#checkEnd(life, id, watched, state)
    }
    const processes = processTree(life.pid)
    this.#endings.push(await life.end('SIGTERM'))
    await this.#countLeftBehind(processes)
  }

  giveUp(error: unknown): void {
    this.#faults.push(`the trial was given up: ${String(error)}`)
  }

  report(kills: number): Report {
    const counts = this.#counts
    return {
      title: `${kills - this.#stops} kills and ${this.#stops} SIGTERMs amid them, seed ${this.#seed}`,
      figures: [
        { name: 'executions answered with an id', value: this.#watched.size, least: 1 },
        { name: 'starts that nobody heard the answer of', value: counts.unanswered },
        { name: 'cancels asked for in the middle', value: counts.cancelsAsked },
        { name: 'cancels answered', value: counts.cancelled },
        { name: 'executions that ended cancelled', value: counts.cancelledEnds },
        { name: 'answered cancels undone by a kill or a late result', value: counts.cancelsLost, most: 0 },
        { name: 'processes that outlived an answered cancel', value: counts.cancelsLeaving, most: 0 },
        {
          name: 'jobs seen completed before a kill',
          value: [...this.#watched.values()].reduce((sum, { completed }) => sum + completed.size, 0),
          least: 1,
        },
        { name: 'executions unknown after a restart', value: counts.unknown, most: 0 },
        { name: 'completed jobs run again', value: counts.ranAgain, most: 0 },
        { name: 'states that went back', value: counts.wentBack, most: 0 },
        { name: 'rows of hooks lost', value: counts.rowsLost, most: 0 },
        { name: 'rows of hooks doubled', value: counts.rowsDoubled, most: 0 },
        { name: 'display lines lost', value: counts.linesLost, most: 0 },
        { name: 'display lines doubled', value: counts.linesDoubled, most: 0 },
        { name: 'functions run a second time (allowed)', value: counts.secondRuns },
        { name: 'executions that never end', value: counts.endless, most: 0 },
        { name: 'executions that end otherwise than they should', value: counts.badEnds, most: 0 },
        { name: 'processes left behind', value: counts.leftBehind, most: 0 },
        { name: 'start to serving, median (ms)', value: Math.round(medianOf(this.#startsMs)) },
        { name: 'start to serving, longest (ms)', value: Math.round(Math.max(...this.#startsMs)) },
        ...stopFigures(this.#endings),
      ],
      faults: this.#faults,
    }
  }

  async close(): Promise<void> {
    await this.#life?.end('SIGKILL')
  }

  async #begin(): Promise<Life> {
    const life = await startLife(this.#dataDirectory)
    this.#life = life
    this.#isEnding = false
    this.#startsMs.push(life.startMs)
    if (this.#client.token === '') await this.#client.login(life)
    const { json } = await this.#client.post(life, 'list')
    const known = new Set((json as unknown as { id: string }[]).map(({ id }) => id))
    for (const [id] of this.#watched)
      if (!known.has(id)) this.#fault('unknown', `${id} is not known any more`)
    for (const [id, { isCancelled }] of this.#watched)
      if (isCancelled) this.#checkCancelled(id, await this.#client.state(life, id))
    return life
  }

  /** Starts executions in place of those that have ended, and cancels some, until the server is gone. */
  async #keepBusy(life: Life, kill: number): Promise<void> {
    const running = new Set<string>()
    for (const [id, { isOver }] of this.#watched) if (!isOver) running.add(id)
    for (let turn = 0; life.isAlive(); turn += 1) {
      try {
        const [oldest] = running
        if (turn === 0 && oldest !== undefined && uniformAt(this.#seed, 2, kill) < cancelShare) {
          await this.#cancel(life, oldest)
          running.delete(oldest)
        }
        if (running.size < atOnce) running.add(await this.#start(life, kill, turn))
        for (const id of running) if (await this.#isOver(life, id)) running.delete(id)
        await delay(20)
      } catch (error) {
        // The kill came in between. Anything else is a fault.
        await delay(50)
        if (life.isAlive()) await delay(500)
        if (this.#isEnding) return
        if (life.isAlive()) {
          this.#faults.push(`while the server was alive: ${String(error)}`)
          return
        }
      }
    }
  }

  async #start(life: Life, kill: number, turn: number): Promise<string> {
    const size = 10 + Math.floor(uniformAt(this.#seed, 1, kill * 1000 + turn) * 70)
    const isSlow = uniformAt(this.#seed, 3, kill * 1000 + turn) < slowShare
    const script = fanScript(size, '', isSlow ? 0.2 : 0)
    this.#counts.unanswered += 1
    const { status, json, text } = await this.#client.start(life, packScript(script))
    this.#counts.unanswered -= 1
    if (status !== 200) throw new Error(`/start answered ${status}: ${text}`)
    const id = String(json['id'])
    this.#watched.set(id, {
      size,
      completed: new Map(),
      runs: new Map(),
      isCancelled: false,
      mayBeCancelled: false,
      isOver: false,
      isCompared: false,
    })
    return id
  }

  async #isOver(life: Life, id: string): Promise<boolean> {
    const { status, json, text } = await this.#client.state(life, id)
    if (status !== 200) throw new Error(`/state answered ${status}: ${text}`)
    const watched = this.#watched.get(id)
    const isOver = json['state'] !== 'running'
    if (watched?.isOver === true && !isOver) this.#fault('wentBack', `${id} had ended and runs again`)
    if (isOver && watched !== undefined) watched.isOver = true
    return isOver
  }

  async #cancel(life: Life, id: string): Promise<void> {
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    watched.mayBeCancelled = true
    this.#counts.cancelsAsked += 1
    const { status, text } = await this.#client.post(life, 'cancel', { id })
    if (status >= 300) throw new Error(`/cancel answered ${status}: ${text}`)
    const left = processesIn(executionDirectory(this.#dataDirectory, id))
    const answer = await this.#client.state(life, id)
    this.#counts.cancelled += 1
    // It may have ended by itself before.
    if (answer.json['state'] === 'finished') return
    watched.isCancelled = true
    watched.isOver = true
    this.#checkCancelled(id, answer)
    if (left.length === 0) return
    this.#counts.cancelsLeaving += left.length
    this.#faults.push(`${id}: its cancel was answered while ${left.map(commandLineOf).join(', ')} lived`)
  }

  #checkCancelled(id: string, { json, text }: Answer): void {
    if (json['state'] === 'failed' && JSON.stringify(json['error']).includes('was cancelled')) return
    this.#fault('cancelsLost', `${id}: its cancel was answered, and then: ${text.slice(0, 600)}`)
  }

  /** What was completed once stays so, with the same time of its end. */
  #compareJobs(id: string, watched: Watched): void {
    const now = completedJobs(this.#dataDirectory, id)
    const runs = functionRuns(this.#dataDirectory, id)
    for (const [job, endedAt] of watched.completed)
      if (now.get(job) !== endedAt)
        this.#fault('ranAgain', `${id}: job ${job} ended at ${endedAt} and then at ${now.get(job)}`)
    for (const [sample, times] of watched.runs)
      if (runs.get(sample) !== times)
        this.#fault('ranAgain', `${id}: the function ran again for the completed sample ${sample}`)
    for (const [job, endedAt] of now) {
      watched.completed.set(job, endedAt)
      const [step, ticket] = job.split(' ')
      const sample = String(Number(ticket) + 1)
      if (step === '1' && !watched.runs.has(sample)) watched.runs.set(sample, runs.get(sample) ?? 0)
    }
  }

  async #awaitEnd(life: Life, id: string): Promise<Answer | undefined> {
    let answer: Answer | undefined
    try {
      await untilTrue(
        `${id} has ended`,
        async () => (answer = await this.#client.state(life, id)).json['state'] !== 'running',
        { forMs: endMs },
      )
      return answer
    } catch (error) {
      this.#fault('endless', String(error))
      return undefined
    }
  }

  async #checkEnd(life: Life, id: string, watched: Watched, { json }: Answer): Promise<void> {
    this.#compareJobs(id, watched)
    if (watched.mayBeCancelled && json['state'] === 'failed') {
      if (JSON.stringify(json['error']).includes('was cancelled')) this.#counts.cancelledEnds += 1
      else this.#fault('badEnds', `${id} was cancelled and ended with ${JSON.stringify(json['error'])}`)
      return
    }
    if (watched.isCancelled) this.#fault('cancelsLost', `${id} was cancelled and is ${String(json['state'])}`)
    if (json['state'] !== 'finished' || json['completed'] !== 2 * watched.size + 1) {
      this.#fault('badEnds', `${id} ended with ${JSON.stringify(json).slice(0, 600)}`)
      return
    }
    const runs = functionRuns(this.#dataDirectory, id)
    for (const times of runs.values()) this.#counts.secondRuns += times - 1
    const { json: output } = await this.#client.post(life, 'output', { id })
    const rows = await checkHookRows(this.#dataDirectory, id, watched.size, String(output['output']))
    for (const name of ['rowsLost', 'rowsDoubled', 'linesLost', 'linesDoubled'] as const)
      this.#counts[name] += rows[name]
    if (rows.rowsLost + rows.rowsDoubled + rows.linesLost + rows.linesDoubled > 0)
      this.#faults.push(`${id}: ${JSON.stringify(rows)}`)
  }

  async #countLeftBehind(processes: readonly ProcessIdentity[]): Promise<void> {
    const left = () => stillAlive(processes).length + processesNaming(this.#dataDirectory).length
    await untilTrue('nothing is left of the server', () => left() === 0, { forMs: 10_000 }).catch(() =>
      this.#fault('leftBehind', `${left()} processes outlived the server by ten seconds`),
    )
  }

  #fault(
    count: 'unknown' | 'ranAgain' | 'wentBack' | 'endless' | 'badEnds' | 'cancelsLost' | 'leftBehind',
    message: string,
  ): void {
    this.#counts[count] += 1
    this.#faults.push(message)
  }
}
