import { bringConsequences } from './consequences.ts'
import type { ReportedResult, SchedulerRequest } from './exchange.ts'
import type { HostRow } from './host-table.ts'
import type { ProjectTables } from './project-tables.ts'
import { verdictOf } from './verdict.ts'

/** More than any client holds. */
const heldAtMost = 4000

/**
 * Takes down what a host reports, and gives back the names to acknowledge: all of them, as a client repeats what it gets
 * no acknowledgement for. What does not count is noted.
 */
export function takeReports(
  tables: ProjectTables,
  { results, host: { name: hostName } }: SchedulerRequest,
  host: HostRow,
  now: number,
): string[] {
  const names = new Set<string>()
  for (const result of results) {
    if (names.has(result.name)) continue
    names.add(result.name)
    const refused = takeReport(tables, result, hostName, host, now)
    if (refused !== undefined) tables.refusals.add(now, host.id, result.name, refused)
  }
  return [...names]
}

/** Why it does not count; undefined where it does. */
function takeReport(
  { work, hosts }: ProjectTables,
  result: ReportedResult,
  hostName: string,
  host: HostRow,
  now: number,
): string | undefined {
  const found = work.findCopy(result.name)
  if (found === undefined) return 'There is no such copy, or none any more.'
  const { workunit, copy } = found
  if (copy.host !== host.id && copy.account !== host.account)
    return 'The copy was given to another volunteer.'
  const said = verdictOf(result, hostName)
  const verdict =
    said.kind === 'success' && copy.outputMd5 === undefined
      ? {
          kind: 'failed' as const,
          cause: 'node-failure' as const,
          message: `${hostName}: reported a success, but sent no result file.`,
        }
      : said
  const changes = work.apply(workunit, { kind: 'reported', number: copy.number, verdict, at: now })
  if (changes === undefined) return `The copy had ended: ${copy.state}.`
  work.keepReport(workunit.id, copy.number, result.cpuSeconds, result.exitStatus)
  bringConsequences(hosts, changes, now)
  return undefined
}

/** Which of the copies that a host holds it is to stop. Those that it goes on with are running, for all we know. */
export function lookAtHeld(
  { work }: ProjectTables,
  { held = [], results }: SchedulerRequest,
  host: number,
): { aborted: string[]; abortedIfNotStarted: string[] } {
  const reported = new Set(results.map(({ name }) => name))
  const aborted: string[] = []
  const abortedIfNotStarted: string[] = []
  for (const name of held.slice(0, heldAtMost)) {
    if (reported.has(name)) continue
    const found = work.findCopy(name)
    if (found === undefined || found.copy.host !== host || found.workunit.state.kind === 'cancelled')
      aborted.push(name)
    else if (found.workunit.state.kind !== 'active' || found.copy.state !== 'sent')
      abortedIfNotStarted.push(name)
    else work.keepRunning(found.workunit, found.copy)
  }
  return { aborted, abortedIfNotStarted }
}
