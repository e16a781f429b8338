import { createHash, randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openAccounts, accountsSchema } from '../../src/volunteers/accounts.ts'
import { outputNameOf } from '../../src/volunteers/copy-names.ts'
import { openFiling } from '../../src/volunteers/filing.ts'
import type { VolunteerKeys } from '../../src/volunteers/keys.ts'
import { inTransaction } from '../../src/store/dialect-database.ts'
import { openProjectDatabase } from '../../src/volunteers/project-database.ts'
import { exampleWorkunit } from '../../src/volunteers/project.fixtures.ts'
import { fakeArchive, fakeRequest } from '../helpers/fake-volunteer.ts'

const hostsPerAccount = 100
const platform = 'x86_64-pc-linux-gnu'
const hourMs = 3_600_000

/**
 * Fills a project with hosts that were here before, each a minute apart from its next request. So many of them have a
 * copy whose file has come; there is as much work for them to get. Gives the request of each of these: it reports the
 * copy and asks for work.
 */
export function seedProject(
  directory: string,
  { accountSecret, announcement }: Pick<VolunteerKeys, 'accountSecret' | 'announcement'>,
  count: { readonly hosts: number; readonly requests: number },
): Buffer[] {
  mkdirSync(directory, { recursive: true })
  const path = join(directory, 'project.db')
  const database = openProjectDatabase(path, accountsSchema)
  using accounts = openAccounts(path, accountSecret, Date.now)
  const now = Date.now()
  const archive = fakeArchive('result')
  const md5 = createHash('md5').update(archive).digest('hex')
  const archivePath = join(directory, 'archive')
  writeFileSync(archivePath, archive)
  const filing = openFiling(database)
  const addAccount = database.prepare(
    'INSERT INTO accounts (name, cross_project_id, created_at) VALUES (?, ?, ?)',
  )
  const addHost = database.prepare(
    `INSERT INTO hosts (id, account, cross_project_id, sequence_number, created_at, last_contact, quota)
     VALUES (?, ?, ?, 1, ?, ?, 1024)`,
  )
  const addFacts = database.prepare('INSERT INTO host_facts VALUES (?, ?)')
  const addCopy = database.prepare(
    `INSERT INTO copies (workunit, number, host, account, platform, state, sent_at, deadline, output_name, output_bytes,
       output_md5, is_running) VALUES (?, 0, ?, ?, '${platform}', 'sent', ?, ?, ?, ?, ?, 1)`,
  )
  const startWorkunit = database.prepare(
    'UPDATE workunits SET to_send = 0, copies = 1, is_started = 1, was_running = 1 WHERE name = ? RETURNING id',
  )
  const accountOf = (host: number): number => Math.ceil(host / hostsPerAccount)
  const sent: { name: string; host: number }[] = []
  inTransaction(database, () => {
    for (let account = 1; account <= accountOf(count.hosts); account += 1)
      addAccount.run(`volunteer${account}`, randomBytes(16).toString('hex'), now)
    for (let host = 1; host <= count.hosts; host += 1) {
      addHost.run(host, accountOf(host), crossProjectIdOf(host), now - hourMs, now - 60_000)
      addFacts.run(host, factsOf(host))
    }
    // Hosts come in no order that the database would like.
    const step = Math.max(1, Math.floor(count.hosts / count.requests))
    for (let at = 0; at < count.requests; at += 1) {
      const name = `sent_${at}`
      const host = ((at * 7919) % count.requests) * step + 1
      filing.file(exampleWorkunit(name))
      const id = Number(startWorkunit.get(name)?.['id'])
      const secret = randomBytes(16).toString('hex')
      const outputName = outputNameOf({ workunit: name, number: 0 }, secret)
      addCopy.run(id, host, accountOf(host), now - hourMs, now + 24 * hourMs, outputName, archive.length, md5)
      mkdirSync(join(directory, 'uploads', secret.slice(0, 2)), { recursive: true })
      linkSync(archivePath, join(directory, 'uploads', secret.slice(0, 2), outputName))
      sent.push({ name: `${name}_0`, host })
    }
    for (let at = 0; at < count.requests; at += 1) filing.file(exampleWorkunit(`waiting_${at}`))
  })
  database.close()
  return sent.map(({ name, host }) =>
    fakeRequest({
      authenticator: accounts.authenticatorOf({ id: accountOf(host) }),
      hostId: host,
      sequenceNumber: 2,
      name: `box${host}`,
      crossProjectId: crossProjectIdOf(host),
      held: [],
      codeSignKey: announcement.key,
      results: [{ name }],
      wantedSeconds: 1,
    }),
  )
}

function crossProjectIdOf(host: number): string {
  return createHash('md5').update(String(host)).digest('hex')
}

/** As a host tells of itself, but for its name: each is written anew when its host comes for the first time. */
function factsOf(host: number): string {
  return JSON.stringify({
    crossProjectId: crossProjectIdOf(host),
    name: `box${host}`,
    address: '192.0.2.7',
    timezoneSeconds: 0,
    cpus: 2,
    cpuVendor: 'GenuineIntel',
    cpuModel: 'Intel(R) Xeon(R) Processor @ 2.80GHz [Family 6 Model 85 Stepping 7]',
    flops: 1e9,
    integerOperations: 0,
    memoryBytes: 8e9,
    operatingSystem: 'Linux Debian',
    operatingSystemVersion: 'Debian GNU/Linux 12 (bookworm)',
    platform,
  })
}
