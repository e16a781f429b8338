import { readerTimeoutMs } from '../../store/database.ts'
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { loadTls } from '../../api/tls.ts'
import { lockDataDirectory } from '../../config/data-directory-lock.ts'
import { prepareDataDirectory } from '../../config/data-directory.ts'
import type { Configuration } from '../../config/options.ts'
import { createDiskReserve } from '../../files/disk-reserve.ts'
import { writeFileDurably } from '../../files/durable-file.ts'
import { toProblem } from '../../problem.ts'
import { verifyAudit } from '../../store/verify-audit.ts'
import { findDamage } from '../../store/checksum.ts'
import { openPreferences } from '../../store/preferences.ts'
import { checkClock, wrong } from './computer.ts'
import type { Check } from './findings.ts'

/** So many journals are read, those that were written last; more would take hours. */
const mostJournals = 100
const journalsMs = 30_000
const renewalMs = 14 * 86_400_000

/** What the data directory of a server should look like. Nothing in it is changed but the lock, taken for a moment. */
export function dataChecks(configuration: Configuration, now: () => number): readonly Check[] {
  const { dataDirectory, diskReserveBytes, http } = configuration
  if (!existsSync(dataDirectory))
    return [{ name: 'data directory', run: () => `${dataDirectory} is made at the first start` }]
  const inside = (...names: readonly string[]) => join(dataDirectory, ...names)
  return [
    {
      name: 'data directory',
      async run() {
        await prepareDataDirectory(dataDirectory)
        return `${dataDirectory} is private and can be written`
      },
    },
    { name: 'lock', run: () => checkLock(dataDirectory, now) },
    {
      name: 'disk',
      async run() {
        const disk = createDiskReserve({ directory: dataDirectory, reserveBytes: diskReserveBytes })
        await disk.check()
        return `${Math.floor((await disk.freeBytes()) / 2 ** 20).toLocaleString('en-US')} MiB are free`
      },
    },
    { name: 'clock', run: async () => checkClock(now(), await lastWritten(inside)) },
    ...(http ? [] : [{ name: 'certificate', run: () => checkCertificate(configuration, now) }]),
    {
      name: 'preferences',
      async run() {
        const preferences = await openPreferences(inside('preferences.json'), writeFileDurably)
        return preferences.current().password === undefined ? 'no password is set yet' : 'a password is set'
      },
    },
    { name: 'journals', run: () => checkJournals(inside) },
    {
      name: 'audit log',
      async run() {
        if (!existsSync(inside('audit.log'))) return 'there is none yet'
        const found = await verifyAudit(inside('audit.log'))
        if (found.kind === 'whole')
          return `${found.lines} entries, none changed${found.first > 1 ? `; those before entry ${found.first} were moved away` : ''}`
        throw wrong(
          `Line ${found.line} of ${found.file} is broken: ${found.reason}`,
          'Somebody or something has changed it. Keep the logs, find out who, and move them all away to begin anew.',
        )
      },
    },
  ]
}

function checkLock(dataDirectory: string, now: () => number): string {
  try {
    lockDataDirectory(dataDirectory, now).release()
    return 'no server runs on it'
  } catch (error) {
    const { message } = toProblem(error)
    if (!message.includes('in use by')) throw error
    return message
  }
}

async function lastWritten(inside: (...names: string[]) => string): Promise<number> {
  const times = await Promise.all(
    ['molehill.db', 'molehill.db-wal', 'preferences.json', 'audit.log']
      .map((name) => inside(name))
      .filter((path) => existsSync(path))
      .map(async (path) => (await stat(path)).mtimeMs),
  )
  return Math.max(0, ...times)
}

async function checkCertificate(configuration: Configuration, now: () => number): Promise<string> {
  const { tlsCert: certFile, tlsKey: keyFile, dataDirectory } = configuration
  const directory = join(dataDirectory, 'tls')
  if (certFile === undefined && keyFile === undefined && !existsSync(directory))
    return 'a self-signed one is made at the next start'
  const renewed = wrong('It must be made anew.', 'The next start does that; clients must trust the new one.')
  const tls = await loadTls({
    certFile,
    keyFile,
    directory,
    hostname: hostname(),
    now,
    writeDurably: () => Promise.reject(renewed),
  })
  const day = new Date(tls.expiresAt).toISOString().slice(0, 10)
  if (!tls.selfSigned && tls.expiresAt - now() < renewalMs)
    throw wrong(`${certFile} expires on ${day}.`, 'Renew it and restart the server.')
  return `${tls.selfSigned ? 'self-signed' : certFile}, good until ${day}, and the key belongs to it`
}

async function checkJournals(inside: (...names: string[]) => string): Promise<string> {
  const deadline = performance.now() + journalsMs
  const executions = existsSync(inside('executions')) ? await readdir(inside('executions')) : []
  const found = await Promise.all(
    executions.map(async (id) => {
      const path = inside('executions', id, 'journal.db')
      return existsSync(path) ? [{ path, writtenMs: (await stat(path)).mtimeMs }] : []
    }),
  )
  const journals = found
    .flat()
    .sort((a, b) => b.writtenMs - a.writtenMs)
    .map(({ path }) => path)
  const index = inside('molehill.db')
  let checked = 0
  for (const path of [...(existsSync(index) ? [index] : []), ...journals.slice(0, mostJournals)]) {
    if (performance.now() > deadline) break
    checkDatabase(path)
    checked += 1
  }
  const all = journals.length + (existsSync(index) ? 1 : 0)
  return all === checked ? `all ${all} are whole` : `the ${checked} latest of ${all} are whole`
}

function checkDatabase(path: string): void {
  let damage: string | undefined
  try {
    const database = new DatabaseSync(path, { readOnly: true, timeout: readerTimeoutMs })
    try {
      damage = findDamage(database)
    } finally {
      database.close()
    }
  } catch (error) {
    damage = String(error)
  }
  if (damage !== undefined)
    throw wrong(
      `${path} is damaged: ${damage}.`,
      'Bring it back from a backup while no server runs. The next start sets a damaged one aside.',
    )
}
