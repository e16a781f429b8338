import type { DeskSurroundings } from './desk-surroundings.ts'
import { chooseWork, slotsLeft, type HostRoom } from './choose-work.ts'
import { bringConsequences } from './consequences.ts'
import { copyNameOf, outputNameOf } from './copy-names.ts'
import { quotaLeft } from './daily-quota.ts'
import type { Assignment, SchedulerReply, SchedulerRequest } from './exchange.ts'
import type { Definition } from './filing.ts'
import type { FoundHost } from './host-at-the-desk.ts'
import { hostClassOf } from './host-identity.ts'
import type { ProjectTables } from './project-tables.ts'
import type { OpenCopy, SentCopy, StoredWorkunit } from './work-table.ts'

export interface GivenWork {
  readonly assignments: readonly Assignment[]
  /** How many of them were not sent before. */
  readonly sentNew: number
  readonly messages: SchedulerReply['messages']
}

/** A host that drops what it gets without a word would get it for ever. */
const resendsAtMost = 3
const fewCandidates = 3

/** Gives a host what it has lost, and new work where it asks for some and may have it. */
export function giveWork(
  tables: ProjectTables,
  surroundings: DeskSurroundings,
  request: SchedulerRequest,
  host: FoundHost,
  whyNone: string | undefined,
): GivenWork {
  const { wanted } = request
  if (wanted === undefined) return { assignments: [], sentNew: 0, messages: [] }
  if (whyNone !== undefined) return { assignments: [], sentNew: 0, messages: [low(whyNone)] }
  const open = tables.work.openOfHost(host.row.id)
  const { resent, remaining } = resendLost(tables, surroundings.now, request, open)
  const fresh = sendNew(tables, surroundings, { ...request, wanted }, host, remaining)
  const assignments = [...resent, ...fresh.assignments]
  const messages = assignments.length > 0 ? [] : [low('No tasks sent'), ...fresh.why.map((why) => low(why))]
  return { assignments, sentNew: fresh.assignments.length, messages }
}

function low(text: string): SchedulerReply['messages'][number] {
  return { priority: 'low', text }
}

/** Copies that the host should have and does not name: an answer was lost, or the client was reset. */
function resendLost(
  tables: ProjectTables,
  now: number,
  request: SchedulerRequest,
  open: readonly OpenCopy[],
): { resent: Assignment[]; remaining: OpenCopy[] } {
  const held = new Set(request.held)
  const resent: Assignment[] = []
  const remaining: OpenCopy[] = []
  for (const one of open) {
    const { workunit: id, number, name } = one
    if (request.held === undefined || held.has(copyNameOf({ workunit: name, number }))) {
      remaining.push(one)
      continue
    }
    const workunit = tables.work.get(id)
    const copy = workunit?.copies.find((copy) => copy.number === number)
    if (workunit === undefined || copy === undefined) continue
    if (workunit.state.kind === 'active' && copy.resends < resendsAtMost) {
      const definition = tables.work.definition(id)
      const deadline = now + definition.deadlineMs
      tables.work.resend(workunit, copy, deadline)
      remaining.push(one)
      resent.push(assign(tables, workunit, definition, { ...copy, deadline }))
    } else {
      const changes = tables.work.apply(workunit, { kind: 'missed', number, how: 'lost', at: now })
      bringConsequences(tables.hosts, changes ?? [], now)
    }
  }
  return { resent, remaining }
}

function sendNew(
  tables: ProjectTables,
  { now, random, secret }: DeskSurroundings,
  { host: facts, platforms, wanted }: SchedulerRequest & { wanted: NonNullable<SchedulerRequest['wanted']> },
  host: FoundHost,
  open: readonly OpenCopy[],
): { assignments: Assignment[]; why: string[] } {
  const { id, account } = host.row
  const hostClass = hostClassOf(host.facts)
  // Reports in this request may have changed it.
  const quota = tables.hosts.get(id) ?? host.row
  const room: HostRoom = {
    cpus: Math.max(1, facts.cpus),
    memoryBytes: facts.memoryBytes,
    diskBytes: facts.projectDiskBytes > 0 ? facts.projectDiskBytes : facts.diskFreeBytes,
    held: sumOf(open),
    quotaLeft: quotaLeft(quota, facts.cpus, now),
    wanted,
  }
  if (room.quotaLeft === 0) return { assignments: [], why: ['This computer has had its tasks for today.'] }
  const slots = slotsLeft(room)
  if (slots === 0) return { assignments: [], why: ['This computer has enough tasks.'] }
  const { cpus, memoryBytes } = room
  const diskBytes = room.diskBytes - room.held.diskBytes
  const seeker = { host: id, account, hostClass, platforms, cpus, memoryBytes, diskBytes }
  const chance = random()
  const look = (limit: number) => chooseWork(room, tables.queue.candidates(seeker, limit, chance))
  // Most hosts want a piece or two.
  const few = look(Math.min(slots, fewCandidates))
  const chosen = few.length < fewCandidates ? few : look(slots)
  const assignments = chosen.flatMap(({ id: workunitId, platform }) => {
    const workunit = tables.work.get(workunitId)
    if (workunit === undefined) return []
    const definition = tables.work.definition(workunitId)
    const copyKey = { workunit: workunit.name, number: workunit.copies.length }
    const outputName = outputNameOf(copyKey, secret())
    const copy = {
      host: id,
      account,
      platform,
      sentAt: now,
      deadline: now + definition.deadlineMs,
      outputName,
    }
    tables.work.send(workunit, copy, hostClass)
    tables.queue.take(workunit)
    return [assign(tables, workunit, definition, { ...copy, number: copyKey.number })]
  })
  return { assignments, why: [] }
}

function sumOf(open: readonly OpenCopy[]): HostRoom['held'] {
  return {
    count: open.length,
    estimatedMs: open.reduce((sum, copy) => sum + copy.estimatedMs, 0),
    diskBytes: open.reduce((sum, copy) => sum + copy.diskBytes, 0),
  }
}

function assign(
  { filing }: ProjectTables,
  { name, application }: StoredWorkunit,
  definition: Definition,
  {
    number,
    platform,
    deadline,
    outputName,
  }: Pick<SentCopy, 'number' | 'platform' | 'deadline' | 'outputName'>,
): Assignment {
  return {
    name: copyNameOf({ workunit: name, number }),
    workunit: { ...definition, application: filing.application(application) },
    platform,
    deadline,
    outputName,
  }
}
