import type { DatabaseSync } from 'node:sqlite'
import type { VolunteerHost } from '../environment/volunteers.ts'
import type { ProjectStatistics } from './contract.ts'
import type { StoredFacts } from './host-table.ts'

/** Lists of hosts and volunteers, a page at a time: nobody waits long for a list of a hundred thousand. */
export function openStatistics(database: DatabaseSync) {
  const users = database.prepare(
    `SELECT id, name, created_at AS createdAt, cross_project_id AS crossProjectId,
       coalesce(total_credit, 0) AS totalCredit, coalesce(average_credit, 0) AS averageCredit,
       coalesce(average_at, 0) AS averageAt
     FROM accounts LEFT JOIN volunteers ON account = id WHERE id > ? ORDER BY id LIMIT ?`,
  )
  const hosts = database.prepare(
    `SELECT id, account, created_at AS createdAt, last_contact AS lastContact, total_credit AS totalCredit,
       average_credit AS averageCredit, average_at AS averageAt, facts
     FROM hosts JOIN host_facts ON host = id WHERE id > ? ORDER BY id LIMIT ?`,
  )
  const recent = database.prepare(
    `SELECT h.id, h.last_contact AS lastContact, h.done AS copiesDone, h.failed AS copiesFailed,
       h.total_credit AS credit, a.name AS volunteer, facts,
       (SELECT count(*) FROM copies WHERE copies.host = h.id AND state = 'sent') AS copiesInProgress,
       coalesce(r.count, 0) AS refused, (SELECT reason FROM refusals WHERE refusals.id = r.last) AS lastRefusal
     FROM (SELECT * FROM hosts ORDER BY last_contact DESC LIMIT ?) AS h
     LEFT JOIN (SELECT host, count(*) AS count, max(id) AS last FROM refusals GROUP BY host) AS r ON r.host = h.id
     JOIN host_facts ON host_facts.host = h.id JOIN accounts AS a ON a.id = h.account ORDER BY h.last_contact DESC`,
  )

  return {
    users(after: number, limit: number): ProjectStatistics['users'] {
      return users
        .all(after, limit)
        .map((row) => ({ ...(row as unknown as ProjectStatistics['users'][number]) }))
    },

    hosts(after: number, limit: number): ProjectStatistics['hosts'] {
      return hosts.all(after, limit).map((row) => {
        const { facts, account, ...sums } = row as unknown as HostSums
        const known = JSON.parse(facts) as StoredFacts
        return {
          ...sums,
          userId: account,
          name: known.name,
          platform: known.platform,
          cpus: known.cpus,
          cpuModel: known.cpuModel,
          operatingSystem: known.operatingSystem,
          memoryBytes: known.memoryBytes,
          flops: known.flops,
        }
      })
    },

    recentHosts(limit: number): readonly VolunteerHost[] {
      return recent.all(limit).map((row) => {
        const { facts, lastRefusal, ...host } = row as unknown as RecentHost
        const { name, platform, cpus, memoryBytes } = JSON.parse(facts) as StoredFacts
        return {
          ...host,
          name,
          platform,
          cpus,
          memoryBytes,
          ...(lastRefusal !== null && { lastRefusal }),
        }
      })
    },
  }
}

type HostSums = Pick<
  ProjectStatistics['hosts'][number],
  'id' | 'createdAt' | 'lastContact' | 'totalCredit' | 'averageCredit' | 'averageAt'
> & { readonly account: number; readonly facts: string }

type RecentHost = Omit<VolunteerHost, 'name' | 'platform' | 'cpus' | 'memoryBytes' | 'lastRefusal'> & {
  readonly facts: string
  readonly lastRefusal: string | null
}
