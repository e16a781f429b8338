import { processVariables } from './config/process-variables.ts'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Prompt } from './api/access/prompt.ts'
import { openCatalog } from './catalog/catalog.ts'
import type { Catalog } from './catalog/contract.ts'
import { capConnections } from './api/connection-cap.ts'
import { listen } from './api/server.ts'
import { loadTls, type TlsIdentity } from './api/tls.ts'
import { openUploads, type Uploads } from './api/uploads.ts'
import { findInstallation } from './cli/installation.ts'
import { lockDataDirectory } from './config/data-directory-lock.ts'
import { prepareDataDirectory } from './config/data-directory.ts'
import type { Configuration } from './config/options.ts'
import { createFileDesk } from './environment/file-desk.ts'
import type { EnvironmentPlugin } from './environment/plugin.ts'
import { defaultArchiveLimits } from './files/archive-limits.ts'
import { createDiskReserve, type DiskReserve } from './files/disk-reserve.ts'
import { writeFileDurably } from './files/durable-file.ts'
import { readOpenFilesLimit } from './isolation/open-files-limit.ts'
import { probeIsolation } from './isolation/probe.ts'
import type { Isolation } from './isolation/isolation.ts'
import { startHousekeeping } from './schedule/housekeeping.ts'
import type { ClockWork } from './schedule/clock-work.ts'
import { createNamedEnvironments } from './store/named-environments.ts'
import { createLog, type Log } from './telemetry/log.ts'
import { openAccess } from './main/access.ts'
import { openApi, type ApiRooms } from './main/api.ts'
import { openVolunteerProject } from './main/boinc.ts'
import { auditStart, openAudit } from './main/audit.ts'
import { openEngine } from './main/engine.ts'
import { createMetrics } from './telemetry/metrics.ts'

export interface RunningServer {
  /** `https://127.0.0.1:8443` */
  readonly url: string
  /** Where jobs fetch their files from by plain HTTP, if anywhere. */
  readonly jobFilesUrl?: string
  /** SHA-256 of the certificate; absent with plain HTTP. */
  readonly fingerprint?: string
  /** Whether this start set the password. */
  readonly isPasswordNew: boolean
  /**
   * Stops: says so to who asks whether it is ready, takes no more connections, lets requests end for a while, and
   * leaves unfinished executions to the next start. May be called again.
   */
  close(): Promise<void>
}

export interface ServerSurroundings {
  /** Asks for the first password; absent where there is no terminal. */
  readonly prompt?: Prompt
  readonly log?: Log
  /** Milliseconds since 1970. */
  readonly now?: () => number
  /** Kinds of environments; those of `environments/` without. */
  readonly plugins?: ReadonlyMap<string, EnvironmentPlugin>
}

const connectionIdleMs = 600_000
/** At the port for files of jobs: who finds none comes again. */
const jobFilesConnections = 200
/** The rest of the time to stop in is the engine's. */
const requestsShare = 0.8

/** Starts a server: the one place where all rooms meet. Throws Problem when something keeps it from starting. */
export async function startServer(
  configuration: Configuration,
  surroundings: ServerSurroundings = {},
): Promise<RunningServer> {
  const { dataDirectory, http, host, port, maxConnections, shutdownMs } = configuration
  const { now = Date.now, log = openLog(configuration, now) } = surroundings
  const began = performance.now()
  const isolation = await probeIsolation(configuration.isolation, processVariables, configuration.taskUser)
  // What the server makes for tasks, another user must be able to read; nobody else gets into the data directory.
  if (isolation.taskUser !== undefined) process.umask(0o022)
  log[isolation.isWeaker ? 'warn' : 'info']({ isolation: isolation.wish }, isolation.report)
  await using started = new AsyncDisposableStack()
  await prepareDataDirectory(dataDirectory)
  started.use(lockDataDirectory(dataDirectory, now))
  const access = await openAccess(configuration, surroundings.prompt, now)
  const tls = http ? undefined : await openTls(configuration, now, log)
  const metrics = createMetrics()
  metrics.limits({
    executions: configuration.maxExecutions,
    queuedExecutions: configuration.maxQueuedExecutions,
    diskReserveBytes: configuration.diskReserveBytes,
  })
  const audit = await openAudit(configuration, metrics, now, log)
  started.defer(() => audit.close())
  await auditStart(configuration, access, audit)
  const { diskReserveBytes: reserveBytes } = configuration
  const disk = createDiskReserve({ directory: dataDirectory, reserveBytes })
  const named = createNamedEnvironments(access.preferences, access.secrets)
  const { plugins } = surroundings
  const volunteers = await openVolunteerProject(configuration, { log, audit }, now)
  if (volunteers !== undefined) started.use(volunteers)
  const { project } = volunteers ?? {}
  const fileDesk = createFileDesk()
  const shared = { isolation, disk, metrics, fileDesk }
  const parts = { ...shared, named, users: access.users, plugins, volunteers: project }
  const resuming = performance.now()
  const executions = await openEngine(configuration, parts, now, log)
  const resumeMs = Math.round(performance.now() - resuming)
  started.defer(() => executions.close())
  const catalog = await openServerCatalog(configuration, isolation, now)
  started.defer(() => catalog.close())
  const uploads = await openIncoming(configuration, { isolation, disk })
  const clockWork = await openHousekeeping(
    configuration,
    { executions, uploads, disk, audit, metrics, log },
    now,
  )
  started.defer(() => clockWork.close())
  const stopping = new AbortController()
  const apis = await openApi(configuration, {
    ...access,
    ...shared,
    executions,
    catalog,
    uploads,
    audit,
    log,
    now,
    volunteers,
    stopping: stopping.signal,
    defer: (close) => started.defer(close),
  })
  const cap = capConnections(maxConnections, readOpenFilesLimit())
  if (cap.remark !== undefined) log.warn({}, cap.remark)
  const common = {
    host,
    idleMs: Math.max(connectionIdleMs, 2 * configuration.scriptTimeMs),
    report: (error: unknown) => log.warn({ err: error }, 'a connection failed'),
  }
  const server = await listen(apis.all, {
    ...common,
    port,
    maxConnections: cap.maxConnections,
    refusedConnections: cap.refusedConnections,
    ...(tls === undefined ? {} : { tls }),
  })
  started.defer(() => server.close(shutdownMs * requestsShare))
  const { jobFilesPort } = configuration
  const jobFiles =
    jobFilesPort === undefined
      ? undefined
      : await listen(apis.jobFiles, { ...common, port: jobFilesPort, maxConnections: jobFilesConnections })
  if (jobFiles !== undefined) {
    started.defer(() => jobFiles.close(shutdownMs * requestsShare))
    log.info({ address: jobFiles.url }, 'jobs elsewhere may fetch their files')
  }
  const startMs = Math.round(performance.now() - began)
  log.info({ address: server.url, dataDirectory, startMs, resumeMs }, 'listening')

  const running = started.move()
  let closing: Promise<void> | undefined
  return {
    url: server.url,
    ...(jobFiles === undefined ? {} : { jobFilesUrl: jobFiles.url }),
    ...(tls === undefined ? {} : { fingerprint: tls.fingerprint }),
    isPasswordNew: access.isPasswordNew,
    close() {
      stopping.abort()
      closing ??= running.disposeAsync().then(() => log.info('stopped'))
      return closing
    },
  }
}

function openLog({ logLevel, logFormat }: Configuration, now: () => number): Log {
  return createLog({ level: logLevel, format: logFormat, isTerminal: process.stdout.isTTY, now })
}

async function openTls(configuration: Configuration, now: () => number, log: Log): Promise<TlsIdentity> {
  const { tlsCert, tlsKey, dataDirectory } = configuration
  const tls = await loadTls({
    certFile: tlsCert,
    keyFile: tlsKey,
    directory: join(dataDirectory, 'tls'),
    hostname: hostname(),
    now,
    writeDurably: writeFileDurably,
  })
  if (tls.isNew) log.info({ fingerprint: tls.fingerprint }, 'made a self-signed certificate')
  return tls
}

function openIncoming(
  { dataDirectory, uploadBytes, unpackedBytes, archiveEntries }: Configuration,
  { isolation, disk }: { readonly isolation: Isolation; readonly disk: DiskReserve },
): Promise<Uploads> {
  return openUploads(
    join(dataDirectory, 'uploads', 'incoming'),
    { ...defaultArchiveLimits, uploadBytes, unpackedBytes, entries: archiveEntries },
    isolation,
    () => disk.check(),
  )
}

function openServerCatalog(
  { dataDirectory, scriptTimeMs, scriptMemoryBytes }: Configuration,
  isolation: Isolation,
  now: () => number,
): Promise<Catalog> {
  return openCatalog({
    shippedDirectory: join(findInstallation().directory, 'workflows'),
    directory: join(dataDirectory, 'catalog'),
    scriptTimeMs,
    scriptMemoryBytes,
    isolation,
    variables: processVariables,
    now,
  })
}

function openHousekeeping(
  { retentionMs, maxFinished, housekeepingMs }: Configuration,
  rooms: Pick<ApiRooms, 'executions' | 'uploads' | 'disk' | 'audit' | 'metrics' | 'log'>,
  now: () => number,
): Promise<ClockWork> {
  const { executions, uploads, disk, audit, metrics, log } = rooms
  return startHousekeeping({
    executions,
    retention: { retentionMs, maxFinished },
    disk,
    sweepUploads: () => uploads.sweep(),
    everyMs: housekeepingMs,
    now,
    report: {
      expired(executionId) {
        metrics.executionExpired()
        log.info({ executionId }, 'removed: it was kept long enough')
        audit.record({ action: 'retention', outcome: 'ok', object: executionId })
      },
      info: (message) => log.info(message),
      warn: (message) => log.warn(message),
    },
  })
}
