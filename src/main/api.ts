import { randomUUID } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { createRequestAudit } from '../api/access/audit-requests.ts'
import { createAuthentication } from '../api/access/authentication.ts'
import { createRequestLimiter } from '../api/access/request-limiter.ts'
import { createApi, type Api, type ApiParts } from '../api/app.ts'
import { jobFilesDialect } from '../api/job-files/dialect.ts'
import { operationsDialect } from '../api/operations/dialect.ts'
import type { Uploads } from '../api/uploads.ts'
import type { Catalog } from '../catalog/contract.ts'
import { findInstallation } from '../cli/installation.ts'
import type { Configuration } from '../config/options.ts'
import type { Executions } from '../engine/contract.ts'
import type { AskedFileDesk } from '../environment/file-desk.ts'
import type { DiskReserve } from '../files/disk-reserve.ts'
import type { Isolation } from '../isolation/isolation.ts'
import { Problem } from '../problem.ts'
import type { AuditLog } from '../store/audit-log.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { KeptOfUsers } from '../users/contract.ts'
import { createQuotas } from '../users/quotas.ts'
import { defaultQuota, type Access } from './access.ts'
import type { VolunteerRooms } from './boinc.ts'
import { openDialects } from './dialects.ts'
import { observeRequest, tellNumbers } from './numbers.ts'

const textBytes = 2 ** 20
const bodyIdleMs = 60_000
/** Wrong keys of one address: more are told to wait. */
const wrongKeysAtOnce = 20
const wrongKeysPerSecond = 0.2

export interface ApiRooms extends Pick<Access, 'login' | 'tokens' | 'users' | 'identities'> {
  readonly executions: Executions
  readonly catalog: Catalog
  readonly isolation: Isolation
  readonly uploads: Uploads
  readonly disk: DiskReserve
  readonly audit: AuditLog
  readonly metrics: Metrics
  readonly log: Log
  /** Absent where the server takes no volunteers. */
  readonly volunteers: VolunteerRooms | undefined
  readonly fileDesk: AskedFileDesk
  readonly now: () => number
  readonly stopping: AbortSignal
  /** Closes with the server what a dialect has opened. */
  readonly defer: (close: () => Promise<void> | void) => void
}

export interface OpenedApis {
  /** Every dialect that is switched on, and what machines and operators ask. */
  readonly all: Api
  /** Where jobs elsewhere fetch their files from, and nothing else. */
  readonly jobFiles: Api
}

/** Opens the HTTP interface. */
export async function openApi(configuration: Configuration, rooms: ApiRooms): Promise<OpenedApis> {
  const { dataDirectory, uploadBytes, requestsPerSecond, requestBurst } = configuration
  const { isolation, uploads, disk, audit, tokens, users, identities, metrics, log, stopping } = rooms
  const elapsedMs = () => performance.now()
  const auditRequest = createRequestAudit(audit, elapsedMs)
  const wrongTries = createRequestLimiter({
    perSecond: wrongKeysPerSecond,
    burst: wrongKeysAtOnce,
    elapsedMs,
  })
  const authentication = createAuthentication({ users, tokens, identities, wrongTries })
  const kept: KeptOfUsers[] = []
  const quotas = createQuotas({
    users,
    executions: rooms.executions,
    defaults: defaultQuota(configuration),
    otherBytes: (owner) => sumBytes(kept, owner),
  })
  const executions = quotas.limit(rooms.executions)
  const others = await openDialects({ ...rooms, configuration, authentication, executions, quotas, kept })
  const jobFiles = jobFilesDialect(rooms.fileDesk)
  const dialects = [...others, jobFiles] as const
  const operations = operationsDialect({
    version: findInstallation().version,
    dialects,
    checkReady: () => checkReady(dataDirectory, disk, stopping),
    remarks: isolation.isWeaker ? [isolation.report] : [],
    metrics: { contentType: metrics.contentType, text: async () => tellNumbers(rooms) },
  })
  const parts: Omit<ApiParts, 'dialects'> = {
    authentication,
    uploads,
    uploadRoom: (owner) => quotas.uploadRoom(owner),
    limiter: createRequestLimiter({ perSecond: requestsPerSecond, burst: requestBurst, elapsedMs }),
    limits: { uploadBytes, textBytes, idleMs: bodyIdleMs },
    observe(request) {
      observeRequest(request, log, metrics)
      auditRequest(request)
    },
    report: (error, { requestId, what }) => log.error({ requestId, err: error }, what),
    stopping,
    newRequestId: randomUUID,
    elapsedMs,
  }
  return {
    all: createApi({ ...parts, dialects: [...dialects, operations] }),
    jobFiles: createApi({ ...parts, dialects: [jobFiles] }),
  }
}

async function sumBytes(kept: readonly KeptOfUsers[], owner: string): Promise<number> {
  let bytes = 0
  for (const each of kept) bytes += await each.storedBytes(owner)
  return bytes
}

async function checkReady(dataDirectory: string, disk: DiskReserve, stopping: AbortSignal): Promise<void> {
  const retryAfterSeconds = 10
  if (stopping.aborted) throw new Problem('server-busy', 'The server is stopping.', { retryAfterSeconds })
  try {
    await access(dataDirectory, constants.W_OK)
  } catch (cause) {
    throw new Problem('server-busy', 'The data directory cannot be written.', { cause, retryAfterSeconds })
  }
  await disk.check()
}
