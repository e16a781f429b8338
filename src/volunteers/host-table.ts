import type { DatabaseSync } from 'node:sqlite'
import { withCredit } from './credit.ts'
import { firstQuota, quotaAfter } from './daily-quota.ts'
import type { HostFacts } from './exchange.ts'
import { isSimilar } from './host-identity.ts'

export interface HostRow {
  readonly id: number
  readonly account: number
  readonly sequenceNumber: number
  readonly earliestContact: number
  readonly haste: number
  readonly quota: number
  readonly quotaDay: number
  readonly sentToday: number
  readonly flops: number
}

/** Facts of a host, and what it said first that it can run. */
export type StoredFacts = Omit<HostFacts, 'diskFreeBytes' | 'projectDiskBytes'> & {
  readonly platform: string
}

export interface VolunteerRow {
  readonly id: number
  readonly name: string
  readonly createdAt: number
  readonly totalCredit: number
  readonly averageCredit: number
  readonly preferences: string | null
}

/** What a request changes in a host's row. */
export type Contact = Omit<HostRow, 'account' | 'quota'> & { readonly lastContact: number }

const hostColumns = `id, account, sequence_number AS sequenceNumber, earliest_contact AS earliestContact, haste, quota,
  quota_day AS quotaDay, sent_today AS sentToday, flops`
const activeMs = 3_600_000

/** Hosts and the volunteers they belong to. */
export function openHostTable(database: DatabaseSync) {
  const byId = database.prepare(`SELECT ${hostColumns} FROM hosts WHERE id = ?`)
  const byCrossProjectId = database.prepare(
    `SELECT id, facts FROM hosts JOIN host_facts ON host = id WHERE account = ? AND cross_project_id = ? ORDER BY id DESC`,
  )
  const insert = database.prepare(
    `INSERT INTO hosts (account, cross_project_id, sequence_number, created_at, last_contact, quota)
     VALUES (?, ?, 0, ?, ?, ${firstQuota})`,
  )
  const facts = database.prepare('SELECT facts FROM host_facts WHERE host = ?')
  const name = database.prepare("SELECT facts ->> '$.name' AS name FROM host_facts WHERE host = ?")
  const putFacts = database.prepare('INSERT OR REPLACE INTO host_facts VALUES (?, ?)')
  const contact = database.prepare(
    `UPDATE hosts SET sequence_number = ?, last_contact = ?, earliest_contact = ?, haste = ?, quota_day = ?,
       sent_today = ?, flops = ? WHERE id = ?`,
  )
  const outcome = database.prepare(
    'UPDATE hosts SET quota = ?, done = done + ?, failed = failed + ? WHERE id = ?',
  )
  const hostCredit = database.prepare(
    'SELECT total_credit AS total, average_credit AS average, average_at AS averageAt FROM hosts WHERE id = ?',
  )
  const putHostCredit = database.prepare(
    'UPDATE hosts SET total_credit = ?, average_credit = ?, average_at = ? WHERE id = ?',
  )
  const addVolunteer = database.prepare('INSERT OR IGNORE INTO volunteers (account) VALUES (?)')
  const volunteer = database.prepare(
    `SELECT id, name, created_at AS createdAt, coalesce(total_credit, 0) AS totalCredit,
       coalesce(average_credit, 0) AS averageCredit, preferences
     FROM accounts LEFT JOIN volunteers ON account = id WHERE id = ?`,
  )
  const volunteerCredit = database.prepare(
    `SELECT total_credit AS total, average_credit AS average, average_at AS averageAt FROM volunteers WHERE account = ?`,
  )
  const putVolunteerCredit = database.prepare(
    'UPDATE volunteers SET total_credit = ?, average_credit = ?, average_at = ? WHERE account = ?',
  )
  const putPreferences = database.prepare('UPDATE volunteers SET preferences = ? WHERE account = ?')
  const countNewHost = database.prepare(
    `UPDATE volunteers SET hosts_that_day = CASE WHEN day = ?1 THEN hosts_that_day + 1 ELSE 1 END, day = ?1
     WHERE account = ?2 RETURNING hosts_that_day AS count`,
  )
  const active = database.prepare('SELECT count(*) AS count FROM hosts WHERE last_contact > ?')

  function get(id: number): HostRow | undefined {
    return byId.get(id) as HostRow | undefined
  }

  function grant(kind: 'host' | 'volunteer', id: number, granted: number, now: number): void {
    const [read, write] =
      kind === 'host' ? [hostCredit, putHostCredit] : [volunteerCredit, putVolunteerCredit]
    const credit = read.get(id) as { total: number; average: number; averageAt: number } | undefined
    if (credit === undefined) return
    const { total, average, averageAt } = withCredit(credit, granted, now)
    write.run(total, average, averageAt, id)
  }

  return {
    get,

    volunteer(account: number): VolunteerRow | undefined {
      return volunteer.get(account) as VolunteerRow | undefined
    },

    /** A host of the account that looks like this one: the newest of them. */
    findSimilar(account: number, wanted: StoredFacts): number | undefined {
      for (const row of byCrossProjectId.all(account, wanted.crossProjectId)) {
        const found = JSON.parse(String(row['facts'])) as StoredFacts
        if (isSimilar(found, wanted)) return Number(row['id'])
      }
      return undefined
    },

    /** Counts hosts that the account has got today, this one included. */
    countNewHost(account: number, day: number): number {
      addVolunteer.run(account)
      return Number(countNewHost.get(day, account)?.['count'])
    },

    add(account: number, crossProjectId: string, now: number): number {
      return Number(insert.run(account, crossProjectId, now, now).lastInsertRowid)
    },

    name(id: number): string {
      return String(name.get(id)?.['name'] ?? `host ${id}`)
    },

    /** Writes only what is new: most hosts stay as they are. */
    keepFacts(id: number, known: StoredFacts): void {
      const text = JSON.stringify(known)
      if (facts.get(id)?.['facts'] !== text) putFacts.run(id, text)
    },

    keepContact(row: Contact): void {
      contact.run(
        row.sequenceNumber,
        row.lastContact,
        row.earliestContact,
        row.haste,
        row.quotaDay,
        row.sentToday,
        row.flops,
        row.id,
      )
    },

    keepPreferences(account: number, preferences: string): void {
      addVolunteer.run(account)
      putPreferences.run(preferences, account)
    },

    /** Counts what came of a copy: the next day's quota goes by it. */
    countOutcome(id: number, result: 'success' | 'failure'): void {
      const host = get(id)
      if (host === undefined) return
      outcome.run(
        quotaAfter(host.quota, result),
        result === 'success' ? 1 : 0,
        result === 'failure' ? 1 : 0,
        id,
      )
    },

    grantCredit(host: number, account: number, granted: number, now: number): void {
      addVolunteer.run(account)
      grant('host', host, granted, now)
      grant('volunteer', account, granted, now)
    },

    /** Hosts that were here in the last hour. */
    countActive(now: number): number {
      return Number(active.get(now - activeMs)?.['count'])
    },
  }
}

export type HostTable = ReturnType<typeof openHostTable>
