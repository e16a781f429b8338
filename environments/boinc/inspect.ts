import type { CheckFinding, KnownHost } from '../../src/environment/environment.ts'
import type { VolunteerHost } from '../../src/environment/volunteers.ts'

const dayMs = 24 * 3_600_000
export const shownHosts = 100

/** What is known of each host, for a person to read. */
export function describeHosts(hosts: readonly VolunteerHost[], now: number): readonly KnownHost[] {
  return hosts.map((host) => ({ name: host.name, description: describeHost(host, now) }))
}

/** Whether hosts were heard lately, and one finding for each host. */
export function inspectHosts(hosts: readonly VolunteerHost[], now: number): readonly CheckFinding[] {
  const recent = hosts.filter(({ lastContact }) => now - lastContact < dayMs)
  const cpus = recent.reduce((sum, host) => sum + host.cpus, 0)
  const number = hosts.length === shownHosts ? `${shownHosts} or more` : String(hosts.length)
  const all: CheckFinding =
    recent.length > 0
      ? {
          what: 'hosts',
          isGood: true,
          message: `${recent.length} of ${number} hosts with ${cpus} processors were heard in the last 24 hours.`,
        }
      : {
          what: 'hosts',
          isGood: false,
          message: `None of ${number} hosts was heard in the last 24 hours: jobs wait until one asks.`,
          fix: 'Make an account with `molehill boinc account add NAME`, and attach a BOINC client with it.',
        }
  return [all, ...hosts.map((host) => findingOf(host, now))]
}

function findingOf(host: VolunteerHost, now: number): CheckFinding {
  return { what: `host ${host.id}`, isGood: true, message: `${host.name} ${describeHost(host, now)}.` }
}

function describeHost(host: VolunteerHost, now: number): string {
  const {
    volunteer,
    platform,
    cpus,
    copiesInProgress,
    copiesDone,
    copiesFailed,
    refused,
    lastRefusal,
    credit,
  } = host
  const parts = [
    `of ${volunteer}: ${platform}, ${cpus} processors`,
    `heard ${agoText(now - host.lastContact)} ago`,
    `${copiesInProgress} in progress, ${copiesDone} done, ${copiesFailed} failed`,
    ...(refused > 0
      ? [`${refused} reports refused, the last: ${lastRefusal ?? ''}`.replace(/[.]$/, '')]
      : []),
    `credit ${credit.toFixed(1)}`,
  ]
  return parts.join('; ')
}

function agoText(ms: number): string {
  const minutes = Math.max(0, Math.round(ms / 60_000))
  if (minutes < 2) return `${Math.max(0, Math.round(ms / 1000))} s`
  if (minutes < 120) return `${minutes} min`
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`
}
