import { bringConsequences } from './consequences.ts'
import { dayOf } from './daily-quota.ts'
import type { SchedulerRequest } from './exchange.ts'
import type { Contact, HostRow, StoredFacts } from './host-table.ts'
import { identifyHost } from './host-identity.ts'
import type { ProjectTables } from './project-tables.ts'

/** The host that sent a request. */
export interface FoundHost {
  readonly row: HostRow
  readonly facts: StoredFacts
  /** It is to be told its number. */
  readonly isNew: boolean
}

/**
 * Finds the host that sends a request, or makes it. Undefined where the account has made too many today.
 *
 * @param hostsADay how many an account may make
 */
export function findHost(
  tables: ProjectTables,
  request: SchedulerRequest,
  account: number,
  now: number,
  hostsADay: number,
): FoundHost | undefined {
  const { hosts } = tables
  const facts = factsOf(request)
  const known = request.hostId === 0 ? undefined : hosts.get(request.hostId)
  const identity = identifyHost(request, account, known, () => hosts.findSimilar(account, facts))
  const id = identity.kind === 'new' ? makeHost(tables, account, facts, now, hostsADay) : identity.id
  if (id === undefined) return undefined
  hosts.keepFacts(id, facts)
  if (identity.kind === 'attached-again' && (request.held ?? []).length === 0)
    detach(tables, id, request, now)
  const row = identity.kind === 'known' ? known : hosts.get(id)
  return row && { row, facts, isNew: identity.kind !== 'known' }
}

/** What of a request stays in the host's row. A host that learns its number counts its requests from 0 again. */
export function contactAfter(
  { row, isNew }: FoundHost,
  request: SchedulerRequest,
  answer: { now: number; haste: number; requestDelay: number; sent: number },
): Contact {
  const { now, haste, requestDelay, sent } = answer
  const today = dayOf(now)
  return {
    id: row.id,
    sequenceNumber: isNew ? 0 : request.sequenceNumber,
    lastContact: now,
    earliestContact: now + requestDelay * 1000,
    haste,
    quotaDay: today,
    sentToday: (row.quotaDay === today ? row.sentToday : 0) + sent,
    flops: request.host.flops,
  }
}

function makeHost(
  { hosts }: ProjectTables,
  account: number,
  facts: StoredFacts,
  now: number,
  hostsADay: number,
): number | undefined {
  if (hosts.countNewHost(account, dayOf(now)) > hostsADay) return undefined
  return hosts.add(account, facts.crossProjectId, now)
}

/** A client that was attached anew has none of the copies that the host had, but for those that it reports. */
function detach(tables: ProjectTables, host: number, request: SchedulerRequest, now: number): void {
  const reported = new Set(request.results.map(({ name }) => name))
  for (const { workunit: id, number, name } of tables.work.openOfHost(host)) {
    const workunit = reported.has(`${name}_${number}`) ? undefined : tables.work.get(id)
    if (workunit === undefined) continue
    const changes = tables.work.apply(workunit, { kind: 'missed', number, how: 'detached', at: now })
    bringConsequences(tables.hosts, changes ?? [], now)
  }
}

function factsOf({ host, platforms }: SchedulerRequest): StoredFacts {
  const { diskFreeBytes: _, projectDiskBytes: __, ...facts } = host
  return { ...facts, platform: platforms[0] ?? '' }
}
