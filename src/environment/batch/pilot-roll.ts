import { createHash } from 'node:crypto'
import type { Batch, Listed, Listing } from './scheduler.ts'

/** How long a submission that was taken may be missing in lists, and one of which nobody knows whether it was taken. */
const listedWithinMs = { taken: 5000, doubtful: 60_000 }

interface Submission {
  readonly size: number
  /** From then on what is not listed is over. */
  readonly until: number
}

/** Which pilots there are: those that the scheduler lists, and those that it was given just now. Named `BATCH/INDEX`. */
export class PilotRoll {
  /** Begins the names of all submissions, so that those of earlier lives of the server are known too. */
  readonly #prefix: string
  readonly #listed = new Map<string, { readonly nativeId: string; readonly listing: Listing }>()
  readonly #unlisted = new Map<string, Submission>()

  constructor(queue: string) {
    this.#prefix = `m${createHash('sha256').update(queue).digest('hex').slice(0, 6)}`
  }

  /** For a new submission: short, since some schedulers take no more than 15 characters. */
  newName(mark: string): string {
    return `${this.#prefix}${createHash('sha256').update(mark).digest('hex').slice(0, 8)}`
  }

  add({ name, size }: Batch, how: 'taken' | 'doubtful', now: number): void {
    this.#unlisted.set(name, { size, until: now + listedWithinMs[how] })
  }

  /** It was not taken. */
  remove({ name }: Batch): void {
    this.#unlisted.delete(name)
  }

  /** Takes over what the scheduler lists at this time. */
  read(rows: ReadonlyMap<string, Listed>, now: number): void {
    this.#listed.clear()
    for (const [nativeId, { batchName, index, listing }] of rows) {
      if (!batchName.startsWith(this.#prefix)) continue
      this.#listed.set(`${batchName}/${index}`, { nativeId, listing })
      this.#unlisted.delete(batchName)
    }
    for (const [name, { until }] of this.#unlisted) if (now > until) this.#unlisted.delete(name)
  }

  alive(now: number): readonly string[] {
    const listed = [...this.#listed].flatMap(([pilot, { listing }]) => (isAlive(listing) ? [pilot] : []))
    const unlisted = [...this.#unlisted].flatMap(([name, { size, until }]) =>
      now > until ? [] : Array.from({ length: size }, (_, index) => `${name}/${index}`),
    )
    return [...listed, ...unlisted]
  }

  isAlive(pilot: string, now: number): boolean {
    const listing = this.#listed.get(pilot)?.listing
    if (listing !== undefined) return isAlive(listing)
    const submission = this.#unlisted.get(pilot.slice(0, pilot.indexOf('/')))
    return submission !== undefined && now <= submission.until
  }

  /** Names of the submissions that have a pilot. */
  batches(now: number): readonly string[] {
    return [...new Set(this.alive(now).map((pilot) => pilot.slice(0, pilot.indexOf('/'))))]
  }

  /** Why a pilot is over, where the scheduler still says so. */
  wordOn(pilot: string): string | undefined {
    const listing = this.#listed.get(pilot)?.listing
    return listing?.kind === 'stopped' ? listing.message : undefined
  }

  /** Native ids of pilots that will never move by themselves. */
  get stuck(): readonly string[] {
    return this.#nativeIds('stuck')
  }

  /** Native ids of pilots that wait for their start. */
  get waiting(): readonly string[] {
    return this.#nativeIds('queued')
  }

  #nativeIds(kind: Listing['kind']): readonly string[] {
    return [...this.#listed.values()].flatMap(({ nativeId, listing }) =>
      listing.kind === kind ? [nativeId] : [],
    )
  }
}

function isAlive({ kind }: Listing): boolean {
  return kind === 'queued' || kind === 'running' || kind === 'unclear'
}
