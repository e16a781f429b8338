import { join } from 'node:path'
import { toProblem } from '../problem.ts'
import type { Database } from '../store/database.ts'
import type { Plan } from '../workflow/plan.ts'
import type { EngineParts } from './engine-parts.ts'
import { usesOf, usesToCome } from './environment-uses.ts'
import type { EnvironmentUse } from './environments.ts'
import { nothingKnown, type IndexEntry } from './execution-index.ts'
import type { ActiveExecution } from './execution-reader.ts'
import { JobAllowances } from './job-allowance.ts'
import { openRun } from './open-run.ts'
import { precedenceOf } from './precedence.ts'
import type { RunEnding } from './run-resources.ts'
import type { Run } from './run.ts'
import { openJournal, readPlan, refuseDamage } from './stored-journal.ts'
import { writeEnd } from './write-end.ts'

/** Whom active executions tell, and what they ask. */
export interface ActiveExecutionsListener {
  readonly workDirectory: (entry: IndexEntry) => string
  /** The run of an execution is over, or there is none: its place is free. */
  readonly left: (id: string) => void
  /** An execution has ended that used these. */
  readonly ended: (uses: readonly EnvironmentUse[]) => void
}

/** The executions that have a run: brings runs to life, and sees each to its end. */
export class ActiveExecutions {
  readonly #parts: EngineParts
  readonly #listener: ActiveExecutionsListener
  readonly #active = new Map<string, ActiveExecution>()
  readonly #allowances: JobAllowances
  /** Plans of executions that are about to use their environments. */
  readonly #opening = new Set<{ readonly plan: Plan }>()

  constructor(parts: EngineParts, listener: ActiveExecutionsListener) {
    this.#parts = parts
    this.#listener = listener
    this.#allowances = new JobAllowances(parts.settings.runningJobsOf ?? (() => Number.POSITIVE_INFINITY))
  }

  /** By the id of the execution. */
  get byId(): ReadonlyMap<string, ActiveExecution> {
    return this.#active
  }

  /** Counts the environments of a plan as used already, until the function that is returned is called. */
  announce(plan: Plan): () => void {
    const opening = { plan }
    this.#opening.add(opening)
    return () => void this.#opening.delete(opening)
  }

  /** What announced plans are about to use. */
  get usesToCome(): readonly EnvironmentUse[] {
    return [...this.#opening].flatMap(({ plan }) => usesToCome(plan))
  }

  /** Looks again how many jobs of an owner may run. */
  lookAgain(owner: string): void {
    this.#allowances.lookAgain(owner)
  }

  /** Lets an execution of the index go on where its journal says. What goes wrong is told as its end. */
  async revive(entry: IndexEntry): Promise<void> {
    const { settings, directory, writer, index } = this.#parts
    const path = join(directory, entry.id, 'journal.db')
    let withdraw: (() => void) | undefined
    try {
      await refuseDamage(path)
      const journal = await openJournal(writer, join(directory, entry.id))
      const plan = readPlan(journal.reader)
      withdraw = this.announce(plan)
      const run = await this.open(entry, plan, journal)
      if (entry.isCancelled) run.stop({ kind: 'cancelled' })
      else this.begin(run)
    } catch (error) {
      const { message } = toProblem(error)
      settings.warn(`The execution cannot be resumed: ${message}`, { executionId: entry.id })
      const failed = { ...entry, state: 'failed' as const, endedAt: settings.now() }
      await index.put(failed, { ...nothingKnown, ...failed, error: { message } })
      this.#listener.left(entry.id)
    } finally {
      withdraw?.()
    }
  }

  /** Makes a run of an execution, with all it uses. It does not begin yet. */
  async open(entry: IndexEntry, plan: Plan, journal: Database): Promise<Run> {
    const { settings, directory, trackers, runtime } = this.#parts
    const { id, owner } = entry
    const allowance = this.#allowances.of(owner)
    const parts = await openRun(settings, {
      id,
      plan,
      journal,
      directory: join(directory, id),
      workDirectory: this.#listener.workDirectory(entry),
      trackers: await trackers.of(plan),
      runtime,
      allowance,
      precedence: precedenceOf(entry),
    })
    allowance?.add(parts.run)
    const over = parts.run.ended.then(async (ending) =>
      this.#finish(id, parts.run, ending, { ...parts, journal }),
    )
    void over
      .catch((error: unknown) =>
        settings.warn(`The end cannot be kept: ${toProblem(error).message}`, { executionId: id }),
      )
      .finally(() => this.#listener.left(id))
    this.#active.set(id, { ...parts, journal, over })
    return parts.run
  }

  /** Lets an opened run begin, or go on. */
  begin(run: Run): void {
    const { name, script } = run.resources.plan
    if (!run.journal.isResumed) run.journal.event('started', { name, script })
    run.start()
  }

  /** Lets every run go, for the next life of the server to go on with. Each is over when its `over` resolves. */
  suspend(): readonly ActiveExecution[] {
    const active = [...this.#active.values()]
    for (const { run } of active) run.stop({ kind: 'suspended' })
    return active
  }

  async #finish(
    id: string,
    run: Run,
    ending: RunEnding,
    { host, journal }: Pick<ActiveExecution, 'host' | 'journal'>,
  ): Promise<void> {
    const { settings, index } = this.#parts
    await host.close()
    if (ending.kind !== 'suspended' && !stopsOnFullDisk(journal)) {
      const known = index.get(id)
      // A cancel that was answered wins over an end that came meanwhile.
      const decided: RunEnding = known.isCancelled ? { kind: 'cancelled' } : ending
      const entry: IndexEntry = {
        ...known,
        state: decided.kind === 'finished' ? 'finished' : 'failed',
        endedAt: settings.now(),
      }
      for (const tracker of run.resources.trackers) await tracker.discard(run.resources.paths.workDirectory)
      const last = await writeEnd(entry, run, decided)
      this.#listener.ended(usesOf(last, run))
      if (!stopsOnFullDisk(journal)) await index.put({ ...entry, state: last.state }, last)
    }
    // From here on questions are answered from what is stored: nobody meets a journal that is being closed.
    this.#active.delete(id)
    this.#allowances.left(index.get(id).owner, run)
    await journal.close()
  }
}

/** Whether the server stops while its disk is full. Nobody was told of an end, and the next life comes to it again. */
function stopsOnFullDisk(journal: Database): boolean {
  return journal.failure?.code === 'disk-full'
}
