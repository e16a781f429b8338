import { readdir } from 'node:fs/promises'
import { join, matchesGlob } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Write } from '../store/journal-schema.ts'
import { decodeJson, encodeJson, type Context } from '../workflow/context.ts'
import { listingsOf, openSamples } from '../workflow/expand.ts'
import type { Json } from '../workflow/value.ts'
import type { Run } from './run.ts'
import type { Effect, Exploration } from './state.ts'

/** Opens a run's explorations, keeps what their samples bring, and makes the arrays of aggregations of it. */
export class Explorations {
  readonly #run: Run
  readonly #rows = new Map<Exploration, number>()

  /** Jobs that there will be, as far as is known. */
  #jobs: number

  constructor(run: Run) {
    this.#run = run
    this.#jobs = run.graph.steps.filter(({ kind, scope }) => kind === 'capsule' && scope === null).length
  }

  /** Finds out what the samples are: files are listed now, once, and what an earlier life has settled stays so. */
  async open(exploration: Exploration): Promise<void> {
    const { journal, graph } = this.#run
    const step = graph.steps[exploration.step]
    if (step?.kind !== 'explore') throw new Error(`Step ${exploration.step} is no exploration.`)
    const { ticket } = exploration.frame
    const known = journal.isResumed
      ? journal.database.reader
          .prepare('SELECT id, listings FROM explorations WHERE step = ? AND ticket = ?')
          .get(exploration.step, ticket)
      : undefined
    if (known !== undefined) {
      const row = Number(known['id'])
      this.#rows.set(exploration, row)
      const listings = JSON.parse(String(known['listings'])) as string[][]
      const samples = openSamples(step.sampling, exploration.context, listings)
      this.#brings(exploration.step, samples.size)
      this.#run.apply({ kind: 'opened', exploration, samples, settled: this.#settledSamples(row) })
      return
    }
    const listings = await Promise.all(listingsOf(step.sampling).map(async (listing) => this.#list(listing)))
    if (this.#run.isStopping) return
    const samples = openSamples(step.sampling, exploration.context, listings)
    if (this.#brings(exploration.step, samples.size) > this.#run.resources.maxJobs) {
      this.#run.stop({ kind: 'failed', message: this.#tellTooMany(samples.size), stack: '' })
      return
    }
    const row = journal.nextExplorationId()
    this.#rows.set(exploration, row)
    journal.event('exploration', { step: exploration.step, ticket, samples: samples.size })
    this.#run.apply({ kind: 'opened', exploration, samples }, [
      ['putExploration', row, exploration.step, ticket, samples.size, JSON.stringify(listings)],
    ])
  }

  /** The journal's row of a sample that will not change any more. */
  settle({ exploration, sample, contributions }: Effect & { kind: 'settle' }): Write {
    const row = this.#rows.get(exploration) ?? 0
    if (contributions.size === 0) return ['putSample', row, sample, null]
    const byStep = Object.fromEntries([...contributions].map(([step, context]) => [String(step), context]))
    return ['putSample', row, sample, encodeJson(byStep)]
  }

  /** Makes an array of every value that an aggregation gathers, in the order of the samples. */
  async gather(aggregation: number, exploration: Exploration): Promise<void> {
    const { journal, graph } = this.#run
    await journal.flushed()
    const step = graph.steps[aggregation]
    const names = step?.kind === 'aggregate' ? step.gathers : []
    const arrays: Record<string, Json[]> = Object.fromEntries(names.map((name) => [name, []]))
    const rows = journal.database.reader
      .prepare(
        'SELECT contributions FROM samples WHERE exploration = ? AND contributions IS NOT NULL ORDER BY sample',
      )
      .iterate(this.#rows.get(exploration) ?? 0)
    let read = 0
    for (const row of rows) {
      const byStep = decodeJson(String(row['contributions'])) as Record<string, Context>
      const context = byStep[String(aggregation)]
      if (context === undefined) continue
      for (const name of names) arrays[name]?.push(context[name] ?? null)
      read += 1
      // A million rows take a second: others are served meanwhile.
      if (read % 5000 === 0) await nextTurn()
    }
    if (this.#run.isStopping) return
    this.#run.apply({ kind: 'gathered', aggregation, exploration, arrays })
  }

  /** Counts the jobs that an exploration brings, and tells how many there will be in all. */
  #brings(exploration: number, samples: number): number {
    const capsules = this.#run.graph.steps.filter(
      ({ kind, scope }) => kind === 'capsule' && scope === exploration,
    )
    this.#jobs += capsules.length * samples
    return this.#jobs
  }

  #tellTooMany(samples: number): string {
    const [jobs, most] = [this.#jobs, this.#run.resources.maxJobs].map((each) => each.toLocaleString('en-US'))
    return (
      `An exploration of ${samples.toLocaleString('en-US')} samples would bring the execution to ${jobs} jobs; ` +
      `at most ${most} are allowed. Take fewer samples, or have the server started with a higher --max-jobs.`
    )
  }

  #settledSamples(row: number): { count: number; has(sample: number): boolean } {
    const { reader } = this.#run.journal.database
    const counted = reader.prepare('SELECT count(*) AS count FROM samples WHERE exploration = ?').get(row)
    const find = reader.prepare('SELECT 1 FROM samples WHERE exploration = ? AND sample = ?')
    return {
      count: Number(counted?.['count'] ?? 0),
      has: (sample) => find.get(row, sample) !== undefined,
    }
  }

  async #list({ directory, pattern }: { directory: string; pattern: string }): Promise<string[]> {
    const found = await readdir(join(this.#run.resources.paths.workDirectory, directory), {
      withFileTypes: true,
    })
    return found
      .filter((entry) => entry.isFile() && matchesGlob(entry.name, pattern))
      .map(({ name }) => join('work', directory, name))
      .sort()
  }
}
