import type { DatabaseSync } from 'node:sqlite'
import type { Candidate } from './choose-work.ts'
import type { Filing } from './filing.ts'

export interface Seeker {
  readonly host: number
  readonly account: number
  readonly hostClass: string
  /** What it can run, its own kind first. */
  readonly platforms: readonly string[]
  readonly cpus: number
  readonly memoryBytes: number
  /** That it has left. */
  readonly diskBytes: number
}

export interface QueuedWork extends Candidate {
  readonly platform: string
}

interface Waiting {
  readonly application: number
  /** Ids of workunits of which copies were sent, and more are to be. */
  readonly started: { readonly first: number; readonly last: number } | undefined
}

/** Rows that one look at the queue passes at most: those that the host may not have are skipped. */
const lookedAt = 400
const applicationsAtMost = 64
/** More workunits are read ahead when there are fewer than that, up to as many as one look passes. */
const aheadAtLeast = 300

/** Workunits of which more copies are to be sent, the earliest filed first. */
export function openWorkQueue(database: DatabaseSync, filing: Filing) {
  const nextApplication = database.prepare(
    'SELECT application FROM workunits WHERE to_send > 0 AND application > ? ORDER BY application LIMIT 1',
  )
  const columns =
    'id, cpus, estimated_ms AS estimatedMs, memory_bytes AS memoryBytes, disk_bytes AS diskBytes'
  const fresh = database.prepare(
    `SELECT ${columns} FROM workunits WHERE to_send > 0 AND application = ? AND is_started = 0 AND id > ?
     ORDER BY id LIMIT ?`,
  )
  const started = database.prepare(
    `SELECT ${columns} FROM (
       SELECT id, cpus, estimated_ms, memory_bytes, disk_bytes, host_class, quorum FROM workunits
       WHERE to_send > 0 AND application = ?1 AND is_started = 1 AND id >= ?2 ORDER BY id LIMIT ${lookedAt}) AS w
     WHERE memory_bytes <= ?3 AND disk_bytes <= ?4 AND cpus <= ?5 AND host_class IN ('', ?7) AND NOT EXISTS (
       SELECT 1 FROM copies WHERE workunit = w.id AND (host = ?8 OR (account = ?9 AND w.quorum > 1))) LIMIT ?6`,
  )
  const ends = database.prepare(
    `SELECT (SELECT id FROM workunits WHERE to_send > 0 AND application = ?1 AND is_started = 1 ORDER BY id LIMIT 1)
       AS first,
       (SELECT id FROM workunits WHERE to_send > 0 AND application = ?1 AND is_started = 1 ORDER BY id DESC LIMIT 1)
       AS last`,
  )
  /** Applications with work, and where the started ones of it begin and end: looked up once a batch. */
  let waiting: readonly Waiting[] = []
  /**
   * Of each application the first workunits of which nothing was sent, read ahead: most hosts get one of those. Kept
   * from batch to batch, as workunits only leave by being sent or given up, and new ones have greater ids.
   */
  const ahead = new Map<number, Candidate[]>()

  function readAhead(application: number): void {
    const known = ahead.get(application) ?? []
    if (known.length >= aheadAtLeast) return
    const more = fresh.all(application, known.at(-1)?.id ?? 0, lookedAt - known.length)
    ahead.set(application, [...known, ...(more as unknown as Candidate[])])
  }

  function lookUp(): Waiting[] {
    const found: Waiting[] = []
    for (let last = 0; found.length < applicationsAtMost;) {
      const row = nextApplication.get(last)
      if (row === undefined) break
      last = Number(row['application'])
      const { first, last: end } = ends.get(last) as { first: number | null; last: number | null }
      found.push({
        application: last,
        started: first === null || end === null ? undefined : { first, last: end },
      })
    }
    return found
  }

  function lookAt(
    { application, started: range }: Waiting,
    seeker: Seeker,
    limit: number,
    random: number,
  ): Candidate[] {
    const { host, account, hostClass, cpus, memoryBytes, diskBytes } = seeker
    const from = (id: number): Candidate[] =>
      started.all(
        application,
        id,
        memoryBytes,
        diskBytes,
        cpus,
        limit,
        hostClass,
        host,
        account,
      ) as unknown as Candidate[]
    let found: Candidate[] = []
    if (range !== undefined) {
      found = from(0)
      // The first ones may all wait for other volunteers: look somewhere else among them, too.
      if (found.length === 0) found = from(Math.floor(range.first + random * (range.last - range.first)))
    }
    if (found.length < limit && (ahead.get(application) ?? []).length < limit) readAhead(application)
    for (const work of ahead.get(application) ?? []) {
      if (found.length >= limit) break
      if (work.memoryBytes <= memoryBytes && work.diskBytes <= diskBytes && work.cpus <= cpus)
        found.push(work)
    }
    return found
  }

  return {
    /** Looks what there is: before each batch, as work that is filed meanwhile is found by the next one. */
    refresh(): void {
      waiting = lookUp()
      for (const application of ahead.keys())
        if (!waiting.some((one) => one.application === application)) ahead.delete(application)
      for (const { application } of waiting) readAhead(application)
    },

    /** A copy of a workunit was sent, or it was given up: it is not among those of which nothing was sent. */
    take({ application, id }: { readonly application: number; readonly id: number }): void {
      const known = ahead.get(application) ?? []
      const at = known.findIndex((work) => work.id === id)
      if (at !== -1) known.splice(at, 1)
    },

    /** Forgets what was read in a transaction that was given up. */
    clear(): void {
      ahead.clear()
    },

    isEmpty(): boolean {
      return waiting.length === 0
    },

    /** Work that the host may have, the earliest filed first. */
    candidates(seeker: Seeker, limit: number, random: number): QueuedWork[] {
      const found: QueuedWork[] = []
      for (const one of waiting) {
        const { platforms } = filing.application(one.application)
        const platform = seeker.platforms.find((name) => Object.hasOwn(platforms, name))
        if (platform === undefined) continue
        for (const work of lookAt(one, seeker, limit, random)) found.push({ ...work, platform })
      }
      return found.sort((one, other) => one.id - other.id).slice(0, limit)
    },
  }
}

export type WorkQueue = ReturnType<typeof openWorkQueue>
