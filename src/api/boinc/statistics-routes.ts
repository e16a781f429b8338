import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { createGzip } from 'node:zlib'
import { z } from 'zod'
import type { ProjectStatistics } from '../../volunteers/contract.ts'
import { rawRoute, type Route } from '../route.ts'
import { escapeHtml, page } from './page.ts'
import type { VolunteerParts } from './parts.ts'
import { writeHosts, writeTables, writeTeams, writeUsers } from './statistics-export.ts'

/** Statistics are made anew after so long; sites that read them come a few times a day. */
const keptMs = 600_000
const lately = 86_400_000
const mostListed = 50

interface Made {
  readonly statistics: ProjectStatistics
  readonly madeAt: number
  /** The files of the export that were asked for. */
  readonly files: Map<string, Promise<Uint8Array>>
}

/** What sites that compare volunteers read, and a page for people. */
export function statisticsRoutes(parts: VolunteerParts): readonly Route[] {
  const { volunteers, now } = parts
  let making: { readonly made: Promise<Made>; readonly begunAt: number } | undefined
  const current = async (): Promise<Made> => {
    const time = now()
    if (making === undefined || time - making.begunAt >= keptMs) {
      const made = volunteers
        .statistics()
        .then((statistics) => ({ statistics, madeAt: time, files: new Map() }))
      making = { made, begunAt: time }
      // What failed is tried again by the next who asks.
      made.catch(() => (making = undefined))
    }
    return await making.made
  }
  const file = (path: `/${string}`, contentType: string, write: (made: Made) => Promise<Uint8Array>): Route =>
    rawRoute({
      method: 'GET',
      path,
      access: 'open',
      summary: 'Statistics, for sites that compare volunteers.',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'XML, or the same packed with gzip.', contentType },
      async handle() {
        const made = await current()
        const content = made.files.get(path) ?? write(made)
        made.files.set(path, content)
        return new Response(new Uint8Array(await content), { headers: { 'content-type': contentType } })
      },
    })
  const gzip = 'application/gzip'
  return [
    file('/stats/tables.xml', 'text/xml', async ({ statistics, madeAt }) =>
      Buffer.from(writeTables(statistics, madeAt)),
    ),
    file('/stats/user.gz', gzip, ({ statistics }) => pack(writeUsers(statistics))),
    file('/stats/host.gz', gzip, ({ statistics }) => pack(writeHosts(statistics))),
    file('/stats/team.gz', gzip, () => pack([writeTeams()])),
    rawRoute({
      method: 'GET',
      path: '/statistics',
      access: 'open',
      summary: 'Who takes part, for people.',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'A page.', contentType: 'text/html' },
      handle: async () => statisticsPage(await current(), parts),
    }),
  ]
}

/** As a stream, so that nobody else waits while it is written. */
async function pack(pieces: Iterable<string>): Promise<Uint8Array> {
  return await buffer(Readable.from(pieces).pipe(createGzip()))
}

function statisticsPage({ statistics, madeAt }: Made, { settings }: VolunteerParts): Response {
  const { users, hosts } = statistics
  const active = hosts.filter(({ lastContact }) => madeAt - lastContact < lately)
  const credit = users.reduce((sum, { totalCredit }) => sum + totalCredit, 0)
  const first = users.toSorted((one, other) => other.totalCredit - one.totalCredit).slice(0, mostListed)
  const rows = first.map(
    ({ name, totalCredit, averageCredit }) =>
      `<tr><td>${escapeHtml(name)}</td><td>${Math.round(totalCredit)}</td><td>${Math.round(averageCredit)}</td></tr>`,
  )
  return page(
    `Volunteers of ${settings.projectName}`,
    `<p>${users.length} volunteers with ${hosts.length} computers, of which ${active.length} were heard of within a day;
they have ${active.reduce((sum, { cpus }) => sum + cpus, 0)} processors. Credit in all: ${Math.round(credit)}.</p>
<table><tr><th>volunteer</th><th>credit</th><th>of late, a day</th></tr>
${rows.join('\n')}
</table>
<p>As of ${new Date(madeAt).toISOString()}. For programs: <a href="stats/tables.xml">tables.xml</a>,
<a href="stats/user.gz">user.gz</a>, <a href="stats/host.gz">host.gz</a>, <a href="stats/team.gz">team.gz</a>.</p>`,
  )
}
