import { EnvironmentError, type CheckFinding, type JobId, type Resources } from '../environment.ts'
import { runScript } from '../job-files/host-script.ts'
import type { HostFile } from '../job-files/job-files.ts'
import { jobPath, type JobPlace } from '../job-files/places.ts'
import { runnerScript } from '../runner/runner-script.ts'
import { inboxLists, programPath } from '../runner/runner.ts'
import {
  WorkersRefused,
  type Demand,
  type JobNeeds,
  type QueuedJob,
  type Workers,
} from '../runner/workers.ts'
import type { BatchSurroundings } from './batch-environment.ts'
import { BatchSize } from './batch-size.ts'
import { asked } from './listed-jobs.ts'
import { Pace } from './pace.ts'
import { longestJob, pilotScript, tidyText, type PilotTimes } from './pilot-script.ts'
import { PilotRoll } from './pilot-roll.ts'
import { SchedulerOutputError, type Batch, type SubmittedBatch } from './scheduler.ts'
import { messageOf } from '../../problem.ts'

export interface PilotsOptions {
  /** Of the queue: 16 letters and digits, the same in every life of the server. */
  readonly name: string
  /** Most pilots in the scheduler at the same time. */
  readonly count: number
  readonly slotsEach: number
  readonly wallTimeMs: number
  readonly times: PilotTimes
  /** What a slot has, and what jobs get that ask for nothing. */
  readonly defaults: Resources
  readonly submissionsPerMinute: number
  /** How late what a pilot wrote may be seen after the pilot has left the list. */
  readonly exitFileGraceMs: number
  /** Random letters and digits. */
  readonly newMark: () => string
}

/** Pilots that end before any job of theirs began are submitted again after so long, then after twice as long. */
const firstPauseMs = 5000
const longestPauseMs = 600_000

/**
 * Batch jobs that run many jobs each, from a queue of files: a scheduler sees few submissions however many jobs there
 * are. There are as many as the jobs that wait need, up to a limit; they end by themselves when nothing comes.
 */
export class Pilots implements Workers {
  readonly ensureMs = 0
  readonly slots: number
  readonly list: (jobs: readonly QueuedJob[], now: number) => HostFile
  readonly #surroundings: BatchSurroundings
  readonly #options: PilotsOptions
  readonly #pace: Pace
  readonly #size: BatchSize
  readonly #roll: PilotRoll
  /** The pilot of each job that was seen running. */
  readonly #pilotOf = new Map<JobId, string>()
  /** When the pilot of a job was first seen to be gone. */
  readonly #goneSince = new Map<JobId, number>()
  /** One call at a time: what is submitted is known to whoever counts next. */
  #turn: Promise<unknown> = Promise.resolve()
  #begunBefore = 0
  /** How many pilots there must be as long as no job has begun. */
  #expected = 0
  #failures = 0
  #pauseUntil = 0
  /** Why pilots were refused for good when they were last submitted, while nothing else is tried. */
  #refusal: string | undefined
  #lastWords = ''

  constructor(surroundings: BatchSurroundings, options: PilotsOptions) {
    this.#surroundings = surroundings
    this.#options = options
    this.slots = options.count * options.slotsEach
    this.list = inboxLists(options.name)
    this.#pace = new Pace(options.submissionsPerMinute, surroundings.now)
    this.#size = new BatchSize(surroundings.scheduler.batchSizeAtMost)
    this.#roll = new PilotRoll(options.name)
  }

  get name(): string {
    return this.#options.name
  }

  /** A slot has its share of a pilot: a job takes as many as it needs for its processors and its memory. */
  plan(resources: Resources): JobNeeds | string {
    const { defaults, slotsEach, times } = this.#options
    const { cpus, memoryBytes, wallTimeMs } = { ...defaults, ...resources }
    const forCpus = Math.ceil((resources.cpus ?? 0) / (defaults.cpus ?? 1))
    const forMemory =
      defaults.memoryBytes === undefined ? 0 : Math.ceil((resources.memoryBytes ?? 0) / defaults.memoryBytes)
    const slots = Math.max(1, forCpus, forMemory)
    if (slots > slotsEach) {
      const wish = forCpus >= forMemory ? `${cpus} processors` : `${memoryBytes} bytes of memory`
      return `It asks for ${wish}, which is more than a pilot has: ${slotsEach} slots (pilots.slots).`
    }
    const longest = longestJob(times)
    if (wallTimeMs !== undefined && wallTimeMs > longest * 1000)
      return `Its wall time of ${wallTimeMs / 1000} s is longer than the ${longest} s that a pilot has for jobs (pilots.time).`
    return {
      slots,
      ...(wallTimeMs !== undefined && { wallTimeMs }),
      ...(memoryBytes !== undefined && { memoryBytes }),
    }
  }

  ensure(signal: AbortSignal, demand: Demand): Promise<void> {
    return this.#inTurn(() => this.#ensure(signal, demand))
  }

  wake(): Promise<void> {
    // Pilots look by themselves each second.
    return Promise.resolve()
  }

  inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    return this.#surroundings.queue.check(signal)
  }

  survey(signal: AbortSignal): Promise<void> {
    const { queue, now } = this.#surroundings
    return this.#inTurn(async () => {
      this.#roll.read(await asked(queue.list(signal)), now())
      const { stuck } = this.#roll
      if (stuck.length > 0) await asked(queue.cancel(stuck, signal))
    })
  }

  async abandoned(places: readonly JobPlace[], signal: AbortSignal): Promise<ReadonlyMap<JobId, string>> {
    await this.#learn(places, signal)
    const at = this.#surroundings.now()
    const found = new Map<JobId, string>()
    for (const { id } of places) {
      const pilot = this.#pilotOf.get(id)
      if (pilot === undefined || this.#roll.isAlive(pilot, at)) this.#goneSince.delete(id)
      else {
        const since = this.#goneSince.get(id) ?? at
        this.#goneSince.set(id, since)
        if (at - since < this.#options.exitFileGraceMs) continue
        const words = this.#roll.wordOn(pilot)
        found.set(id, `The pilot that ran it is over${words === undefined ? '' : `: ${words}`}.`)
      }
    }
    for (const known of [this.#pilotOf, this.#goneSince]) keepOnly(known, places, found)
    return found
  }

  async rest(signal: AbortSignal): Promise<void> {
    await this.survey(signal)
    const { waiting } = this.#roll
    if (waiting.length > 0) await asked(this.#surroundings.queue.cancel(waiting, signal))
  }

  /** Who runs these jobs stands in their directories. */
  async #learn(places: readonly JobPlace[], signal: AbortSignal): Promise<void> {
    const paths = new Map<string, JobId>(
      places.flatMap((place) =>
        this.#pilotOf.has(place.id) ? [] : [[`${jobPath(place)}/started`, place.id] as const],
      ),
    )
    if (paths.size === 0) return
    for (const [path, text] of await this.#surroundings.files.read([...paths.keys()], signal)) {
      const id = paths.get(path)
      const pilot = /^.*\npilot (\S+)\n/.exec(text)?.[1]
      if (id !== undefined && pilot !== undefined) this.#pilotOf.set(id, pilot)
    }
  }

  async #ensure(signal: AbortSignal, demand: Demand): Promise<void> {
    const { now } = this.#surroundings
    const missing = await this.#missing(signal, demand)
    if (missing <= 0) return
    const there = this.#roll.alive(now()).length
    if (demand.begun !== this.#begunBefore) {
      this.#begunBefore = demand.begun
      this.#failures = 0
      this.#pauseUntil = 0
    } else if (there < this.#expected) {
      this.#pause()
      if (this.#failures > 2)
        this.#warn(`pilots end before they run a job; what they said lies below ${await this.#place(signal)}`)
    }
    this.#expected = there
    if (now() < this.#pauseUntil) {
      if (this.#refusal !== undefined && there === 0) throw new WorkersRefused(this.#refusal)
      return
    }
    this.#refusal = undefined
    /** How many were refused together: one is tried alone, since nobody says whether it was for their number. */
    let together: number | undefined
    for (let left = missing; left > 0;) {
      const size = together === undefined ? Math.min(left, this.#size.now) : 1
      const result = await this.#submit(size, signal)
      if (result === 'refused-together') {
        together = size
        continue
      }
      if (result === 'refused') return this.#pause()
      if (together !== undefined) this.#size.refused(together)
      together = undefined
      this.#expected += size
      left -= size
    }
  }

  #pause(): void {
    this.#pauseUntil = this.#surroundings.now() + Math.min(longestPauseMs, firstPauseMs * 2 ** this.#failures)
    this.#failures += 1
  }

  /** How many pilots to submit. Those that have no time left for what waits do not count. */
  async #missing(signal: AbortSignal, { waiting, running }: Demand): Promise<number> {
    if (waiting === 0) return 0
    const { count, slotsEach, name } = this.#options
    const alive = this.#roll.alive(this.#surroundings.now())
    if (alive.length >= count) return 0
    const marks = alive.map((pilot) => `runners/${name}/pilots/${pilot}/full`)
    const full = await this.#surroundings.files.read(marks, signal)
    const wanted = Math.ceil((waiting + running) / slotsEach)
    return Math.min(count - alive.length, wanted - (alive.length - full.size))
  }

  /**
   * Whether the scheduler took them, as far as anybody can tell. Throws WorkersRefused where it takes none, and nobody
   * runs anything.
   */
  async #submit(size: number, signal: AbortSignal): Promise<'taken' | 'refused-together' | 'refused'> {
    const { queue, files, scheduler, now } = this.#surroundings
    const { name, slotsEach, times } = this.#options
    const base = await files.base(signal)
    const batch = this.#batch(size, `${base}/runners/${name}/pilots`)
    const directives = scheduler.directives(batch)
    const index = scheduler.index
    const text = pilotScript({ directives, index, base, name, batch: batch.name, slots: slotsEach, times })
    const script = `runners/${name}/pilots/${batch.name}/script`
    await files.write(
      [
        { path: programPath, text: runnerScript },
        { path: script, text },
      ],
      signal,
    )
    await this.#pace.take(signal)
    this.#roll.add(batch, 'doubtful', now())
    let result: SubmittedBatch
    try {
      result = await queue.submit(`${base}/${script}`, batch, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof EnvironmentError || error instanceof SchedulerOutputError)) throw error
      this.#warn(`a submission of pilots gave no clear answer: ${error.message}`)
      return 'taken'
    }
    if (result.kind === 'accepted') {
      this.#roll.add(batch, 'taken', now())
      this.#size.taken(size)
      await this.#tidy(base, signal)
      return 'taken'
    }
    this.#roll.remove(batch)
    if (result.kind === 'deferred') this.#size.deferred(size)
    else if (size > 1) return 'refused-together'
    this.#warn(`pilots are not taken just now: ${result.reason}`)
    if (result.kind === 'rejected' && this.#roll.alive(now()).length === 0) {
      this.#refusal = result.reason
      this.#pause()
      throw new WorkersRefused(result.reason)
    }
    return 'refused'
  }

  #batch(size: number, place: string): Batch {
    const { defaults, slotsEach, wallTimeMs, newMark } = this.#options
    const { cpus = 1, memoryBytes, gpus } = defaults
    const name = this.#roll.newName(newMark())
    const resources: Resources = {
      wallTimeMs,
      cpus: cpus * slotsEach,
      ...(memoryBytes !== undefined && { memoryBytes: memoryBytes * slotsEach }),
      ...(gpus !== undefined && { gpus }),
    }
    return { name, size, resources, directory: `${place}/${name}`, logPath: `${place}/${name}/log` }
  }

  async #place(signal: AbortSignal): Promise<string> {
    return `${await this.#surroundings.files.base(signal)}/runners/${this.name}/pilots`
  }

  async #tidy(base: string, signal: AbortSignal): Promise<void> {
    const words = [this.name, ...this.#roll.batches(this.#surroundings.now())]
    const script = { what: 'deleting what old pilots left', text: tidyText, below: base, words }
    try {
      await runScript(this.#surroundings.host, script, this.#options.newMark(), signal)
    } catch (error) {
      if (!signal.aborted) this.#warn(messageOf(error))
    }
  }

  /** The same words are said once in a row. */
  #warn(words: string): void {
    if (words !== this.#lastWords) this.#surroundings.warn(`${this.#surroundings.queue.name}: ${words}`)
    this.#lastWords = words
  }

  #inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(run)
    this.#turn = result.catch(() => undefined)
    return result
  }
}

/** Forgets jobs that are over. */
function keepOnly(
  known: Map<JobId, unknown>,
  places: readonly JobPlace[],
  over: ReadonlyMap<JobId, string>,
): void {
  const kept = new Set(places.flatMap(({ id }) => (over.has(id) ? [] : [id])))
  for (const id of known.keys()) if (!kept.has(id)) known.delete(id)
}
