import { contactAfter, findHost, type FoundHost } from './host-at-the-desk.ts'
import { isHasty, nextRequestSeconds, requestDelaySeconds } from './contact-delay.ts'
import type { DeskSurroundings } from './desk-surroundings.ts'
import type { SchedulerReply, SchedulerRequest } from './exchange.ts'
import type { VolunteerRow } from './host-table.ts'
import { giveWork } from './give-work.ts'
import { bringPreferences } from './preferences.ts'
import { replyToOldClient, replyToStranger, replyToWait } from './protocol/refusals.ts'
import type { ProjectTables } from './project-tables.ts'
import { lookAtHeld, takeReports } from './take-reports.ts'

const anonymousPlatform = 'anonymous'
const hostsADay = 1000
const hourInSeconds = 3600

/** Answers one request of a client, inside a transaction: the tables then hold what the answer tells. */
export function answerRequest(
  tables: ProjectTables,
  surroundings: DeskSurroundings,
  request: SchedulerRequest,
): SchedulerReply {
  const tooOld = replyToOldClient(request)
  if (tooOld !== undefined) return tooOld
  const account = surroundings.accountOf(request.authenticator)
  const volunteer = account === undefined ? undefined : tables.hosts.volunteer(account)
  if (volunteer === undefined) return replyToStranger()
  const host = findHost(tables, request, volunteer.id, surroundings.now, hostsADay)
  if (host === undefined) return replyToWait('This account has too many new computers today.', hourInSeconds)
  return answerHost(tables, surroundings, request, volunteer, host)
}

function answerHost(
  tables: ProjectTables,
  surroundings: DeskSurroundings,
  request: SchedulerRequest,
  volunteer: VolunteerRow,
  host: FoundHost,
): SchedulerReply {
  const { now, random, rush } = surroundings
  const isTooSoon = !host.isNew && isHasty(now, host.row.earliestContact)
  const haste = isTooSoon ? host.row.haste + 1 : 0
  const acknowledged = takeReports(tables, request, host.row, now)
  const work = giveWork(tables, surroundings, request, host, whyNone(surroundings, request, isTooSoon))
  const held = lookAtHeld(tables, request, host.row.id)
  const requestDelay = requestDelaySeconds(haste)
  tables.hosts.keepContact(contactAfter(host, request, { now, haste, requestDelay, sent: work.sentNew }))
  const preferences = bringPreferences(tables.hosts, volunteer, request.preferences)
  const { id, name, createdAt, totalCredit, averageCredit } = volunteer
  return {
    requestDelaySeconds: requestDelay,
    nextRequestSeconds: Math.max(requestDelay, nextRequestSeconds(rush, random())),
    messages: work.messages,
    volunteer: { id, name, createdAt, totalCredit, averageCredit },
    ...(host.isNew ? { newHostId: host.row.id } : {}),
    heldCodeSignKey: request.codeSignKey,
    acknowledged,
    aborted: held.aborted,
    abortedIfNotStarted: held.abortedIfNotStarted,
    deletedFiles: request.stickyFiles.filter((file) => tables.filing.findFile(file) === undefined),
    assignments: work.assignments,
    ...(preferences === undefined ? {} : { preferences }),
  }
}

/** Why a host that asks gets no work whatever there is; undefined where it may have some. */
function whyNone(
  { trustsKey, isMoved }: DeskSurroundings,
  request: SchedulerRequest,
  isTooSoon: boolean,
): string | undefined {
  if (isTooSoon) return 'Asked again before it was time.'
  if (isMoved) return 'This project has moved.'
  if (request.platforms[0] === anonymousPlatform)
    return 'This project has no work for programs of your own (app_info.xml).'
  // Every task would fail there, and after each the client stays away for longer.
  if (!trustsKey(request.codeSignKey)) return 'No tasks for clients with another key.'
  return undefined
}
