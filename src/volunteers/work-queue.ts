import type { DatabaseSync } from 'node:sqlite'
import type { Candidate } from './choose-work.ts'
import type { Filing } from './filing.ts'

export interface Seeker {
  readonly host: number
  readonly account: number
  readonly hostClass: string
  /** What it can run, its own kind first. */
  readonly platforms: readonly string[]
  readonly memoryBytes: number
  readonly diskBytes: number
}

export interface QueuedWork extends Candidate {
  readonly platform: string
}

/** Rows that one look at the queue passes at most: those that the host may not have are skipped. */
const lookedAt = 400
const applicationsAtMost = 64

/** Workunits of which more copies are to be sent, the earliest filed first. */
export function openWorkQueue(database: DatabaseSync, filing: Filing) {
  const nextApplication = database.prepare(
    'SELECT application FROM workunits WHERE to_send > 0 AND application > ? ORDER BY application LIMIT 1',
  )
  const columns =
    'id, cpus, estimated_ms AS estimatedMs, memory_bytes AS memoryBytes, disk_bytes AS diskBytes'
  const looked = (isStarted: 0 | 1): string =>
    `SELECT * FROM workunits WHERE to_send > 0 AND application = ?1 AND is_started = ${isStarted} AND id >= ?2
     ORDER BY id LIMIT ${lookedAt}`
  const fresh = database.prepare(
    `SELECT ${columns} FROM (${looked(0)}) WHERE memory_bytes <= ?3 AND disk_bytes <= ?4 LIMIT ?5`,
  )
  const started = database.prepare(
    `SELECT ${columns} FROM (${looked(1)}) AS w
     WHERE memory_bytes <= ?3 AND disk_bytes <= ?4 AND host_class IN ('', ?6) AND NOT EXISTS (
       SELECT 1 FROM copies WHERE workunit = w.id AND (host = ?7 OR (account = ?8 AND w.quorum > 1))) LIMIT ?5`,
  )
  const lastStarted = database.prepare(
    `SELECT id FROM workunits WHERE to_send > 0 AND application = ? AND is_started = 1 ORDER BY id DESC LIMIT 1`,
  )
  const firstStarted = database.prepare(
    `SELECT id FROM workunits WHERE to_send > 0 AND application = ? AND is_started = 1 ORDER BY id LIMIT 1`,
  )

  function waiting(): readonly number[] {
    const found: number[] = []
    for (let last = 0; found.length < applicationsAtMost;) {
      const row = nextApplication.get(last)
      if (row === undefined) break
      found.push((last = Number(row['application'])))
    }
    return found
  }

  function lookAt(application: number, seeker: Seeker, limit: number, random: number): Candidate[] {
    const { host, account, hostClass, memoryBytes, diskBytes } = seeker
    const from = (id: number): Candidate[] =>
      started.all(
        application,
        id,
        memoryBytes,
        diskBytes,
        limit,
        hostClass,
        host,
        account,
      ) as unknown as Candidate[]
    let found = from(0)
    if (found.length === 0) {
      // The first ones may all wait for other volunteers: look somewhere else among them, too.
      const [first, last] = [firstStarted.get(application)?.['id'], lastStarted.get(application)?.['id']]
      if (first !== undefined && first !== last)
        found = from(Math.floor(Number(first) + random * (Number(last) - Number(first))))
    }
    if (found.length >= limit) return found
    const more = fresh.all(application, 0, memoryBytes, diskBytes, limit - found.length)
    return [...found, ...(more as unknown as Candidate[])]
  }

  return {
    isEmpty(): boolean {
      return nextApplication.get(0) === undefined
    },

    /** Work that the host may have, the earliest filed first. */
    candidates(seeker: Seeker, limit: number, random: number): QueuedWork[] {
      const found: QueuedWork[] = []
      for (const id of waiting()) {
        const { platforms } = filing.application(id)
        const platform = seeker.platforms.find((name) => Object.hasOwn(platforms, name))
        if (platform === undefined) continue
        for (const work of lookAt(id, seeker, limit, random)) found.push({ ...work, platform })
      }
      return found.sort((one, other) => one.id - other.id).slice(0, limit)
    },
  }
}

export type WorkQueue = ReturnType<typeof openWorkQueue>
