import { lookup } from 'node:dns/promises'
import { join } from 'node:path'
import {
  boincSubmissionDialect,
  recoverSubmissions,
  sweepSubmissions,
} from '../api/boinc-submission/dialect.ts'
import type { SubmissionParts } from '../api/boinc-submission/parts.ts'
import { SubmissionStore } from '../api/boinc-submission/store.ts'
import type { Dialect } from '../api/route.ts'
import { readEntryEnvironments } from '../catalog/entry-environments.ts'
import { removeTree } from '../files/remove-tree.ts'
import type { DialectRooms } from './dialects.ts'

const sweepEveryMs = 60_000
const fetchIdleMs = 60_000
/** More jobs make requests that are larger than what is read. */
const mostJobs = 100_000

/** Opens BOINC's remote submission, and puts right what a crash has left half made. */
export async function openBoincSubmission(rooms: DialectRooms): Promise<Dialect | undefined> {
  const { configuration, executions, catalog, authentication, users, quotas, log, now, defer } = rooms
  if (!configuration.boinc) return undefined
  const { dataDirectory, slots, maxJobs, uploadBytes, boincHosts = '', boincRoots = '' } = configuration
  const store = new SubmissionStore(join(dataDirectory, 'dialects.db'))
  defer(() => store[Symbol.dispose]())
  const gatherDirectory = join(dataDirectory, 'uploads', 'boinc-incoming')
  await removeTree(gatherDirectory)
  const parts: SubmissionParts = {
    executions,
    catalog,
    authentication,
    users,
    quotas,
    environments: readEntryEnvironments(configuration.catalogEnvironments ?? ''),
    store,
    gatherDirectory,
    slots,
    now,
    uploadDirectory: (owner) => join(dataDirectory, 'uploads', 'users', owner, 'boinc'),
    files: {
      hosts: boincHosts.split(',').flatMap((host) => (host.trim() === '' ? [] : [host.trim().toLowerCase()])),
      roots: boincRoots.split(':').filter((root) => root.startsWith('/')),
      bytesAtMost: uploadBytes,
      idleMs: fetchIdleMs,
      resolve: (hostname) => lookup(hostname, { all: true }),
    },
    maxJobs: Math.min(maxJobs, mostJobs),
    warn: (message) => log.warn({}, message),
  }
  await recoverSubmissions(parts)
  let sweeping = Promise.resolve()
  const sweep = () => {
    sweeping = sweepSubmissions(configuration.boincFileRetentionMs, parts).catch((error: unknown) =>
      log.warn({ err: error }, 'Batches whose time is past cannot be cleared away'),
    )
  }
  const timer = setInterval(sweep, sweepEveryMs)
  timer.unref()
  defer(async () => {
    clearInterval(timer)
    await sweeping
  })
  return boincSubmissionDialect(configuration.boincPath, parts)
}
