import { mkdir } from 'node:fs/promises'
import { createRequestLimiter } from '../api/access/request-limiter.ts'
import { boincDialect } from '../api/boinc/dialect.ts'
import { createVolunteerLimits } from '../api/boinc/volunteer-limits.ts'
import type { Dialect } from '../api/route.ts'
import type { Configuration } from '../config/options.ts'
import { readMasterUrl, readMovedTo, volunteerDirectories } from '../config/volunteer-project.ts'
import type { AuditLog } from '../store/audit-log.ts'
import type { Log } from '../telemetry/log.ts'
import { accountIdOf, openAccounts, type Accounts } from '../volunteers/accounts.ts'
import type { Volunteers } from '../volunteers/contract.ts'
import { openKeys, type VolunteerKeys } from '../volunteers/keys.ts'
import { openVolunteers } from '../volunteers/open-volunteers.ts'
import type { ReplySettings } from '../volunteers/protocol/write-reply.ts'
import { remember } from '../volunteers/remember.ts'
import { auditAccounts } from './account-audit.ts'
import { takeNextUploadKey } from '../volunteers/upload-keys.ts'
import type { DialectRooms } from './dialects.ts'

/** The project of volunteers with what belongs to it. */
export interface VolunteerRooms extends AsyncDisposable {
  readonly project: Volunteers
  readonly accounts: Accounts
  readonly keys: VolunteerKeys
  readonly settings: ReplySettings
}

/** Kinds of computers that the launcher, a shell script, runs on; managers of clients tell others that there is no work. */
const platforms = {
  'x86_64-pc-linux-gnu': 'Linux on x86-64',
  'aarch64-unknown-linux-gnu': 'Linux on ARM, 64 bits',
  'i686-pc-linux-gnu': 'Linux on x86, 32 bits',
  'arm-unknown-linux-gnueabihf': 'Linux on ARM, 32 bits',
}
const elapsedMs = () => performance.now()
const bodyIdleMs = 60_000
/** Keys whose accounts are not looked for again: finding one takes a MAC. */
const accountsKept = 10_000
/** Tries of one address to find or make accounts. */
const accountTriesAtOnce = 20
const accountTriesPerSecond = 0.2

/** Opens the project; undefined where the server takes no volunteers. Throws Problem configuration-invalid. */
export async function openVolunteerProject(
  configuration: Configuration,
  { log, audit }: { readonly log: Log; readonly audit: Pick<AuditLog, 'record' | 'flushed'> },
  now: () => number,
): Promise<VolunteerRooms | undefined> {
  if (!configuration.volunteers) return undefined
  const masterUrl = readMasterUrl(configuration)
  const places = volunteerDirectories(configuration)
  await mkdir(places.directory, { recursive: true, mode: 0o700 })
  await takeNextUploadKey(places.keys, now)
  const keys = await openKeys(places.keys)
  tellKeys(keys, places.keys, log)
  const movedTo = readMovedTo(configuration)
  const settings: ReplySettings = {
    projectName: configuration.volunteerProject,
    masterUrl,
    ...(movedTo !== undefined && { movedTo }),
    downloadUrl: `${masterUrl}download/`,
    uploadUrl: `${masterUrl}file_upload_handler`,
    codeSignKey: keys.announcement.key,
    successions: keys.announcement.successions,
    uploadKey: keys.uploadKeyPem,
    signatures: await keys.signatures(),
  }
  const { accountSecret } = keys
  const project = await openVolunteers({
    directory: places.directory,
    settings,
    accountSecret,
    signatureOf: (program) => keys.signatureOf(program),
    warn: (message) => log.warn({}, message),
  })
  const accounts = openAccounts(places.database, accountSecret, now)
  const auditing = auditAccounts(accounts, audit, (message) => log.warn({}, message))
  log.info({ masterUrl }, 'volunteers may attach')
  return {
    project,
    accounts,
    keys,
    settings,
    async [Symbol.asyncDispose]() {
      await auditing[Symbol.asyncDispose]()
      accounts[Symbol.dispose]()
      await project.close()
    },
  }
}

/** Opens the protocol that volunteers' hosts speak. It lies where the submission of batches does. */
export function openBoinc({ configuration, volunteers, disk, log, now }: DialectRooms): Dialect | undefined {
  if (volunteers === undefined) return undefined
  const { project, accounts, keys, settings } = volunteers
  return boincDialect(configuration.boincPath, {
    volunteers: project,
    accounts,
    settings,
    uploadKey: keys.uploadKey,
    olderUploadKeys: keys.olderUploadKeys,
    joining: configuration.volunteerAccounts,
    platforms,
    uploadBytes: configuration.uploadBytes,
    idleMs: bodyIdleMs,
    checkDisk: () => disk.check(),
    limits: createVolunteerLimits({
      perSecond: configuration.requestsPerSecond,
      burst: configuration.requestBurst,
      elapsedMs,
    }),
    accountOf: remember((authenticator) => accountIdOf(authenticator, keys.accountSecret), accountsKept),
    accountTries: createRequestLimiter({
      perSecond: accountTriesPerSecond,
      burst: accountTriesAtOnce,
      elapsedMs,
    }),
    now,
    warn: (message) => log.warn({}, message),
  })
}

function tellKeys({ isNew, canSign }: VolunteerKeys, directory: string, log: Log): void {
  if (isNew) log.info({ directory }, "made keys for volunteers' hosts")
  if (canSign)
    log.warn(
      { directory },
      "the code signing key is on this server: who takes the server over can run programs on volunteers' hosts. To keep it elsewhere: molehill boinc keys --offline DIRECTORY",
    )
}
