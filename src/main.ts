import { processVariables } from './config/process-variables.ts'
import { randomUUID } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { createRequestAudit } from './api/access/audit-requests.ts'
import { createAuthentication } from './api/access/authentication.ts'
import { createLogin } from './api/access/login.ts'
import { obtainPassword } from './api/access/obtain-password.ts'
import { createPasswordHashing } from './api/access/password.ts'
import type { Prompt } from './api/access/prompt.ts'
import { createRequestLimiter } from './api/access/request-limiter.ts'
import { createThrottle } from './api/access/throttle.ts'
import { createTokens } from './api/access/tokens.ts'
import { createApi, type Api } from './api/app.ts'
import type { ObservedRequest } from './api/observe.ts'
import { openmoleDialect } from './api/openmole/dialect.ts'
import { operationsDialect } from './api/operations/dialect.ts'
import { openCatalog } from './catalog/catalog.ts'
import type { Catalog } from './catalog/contract.ts'
import { capConnections } from './api/connection-cap.ts'
import { listen } from './api/server.ts'
import { loadTls, type TlsIdentity } from './api/tls.ts'
import { openUploads, type Uploads } from './api/uploads.ts'
import { findInstallation } from './cli/installation.ts'
import { lockDataDirectory } from './config/data-directory-lock.ts'
import { findChanges, showOptions } from './config/changes.ts'
import { prepareDataDirectory } from './config/data-directory.ts'
import type { Configuration } from './config/options.ts'
import type { Executions } from './engine/contract.ts'
import type { JobLimits } from './environment/plugin.ts'
import { createExecutions } from './engine/executions.ts'
import type { EnvironmentPlugin } from './environment/plugin.ts'
import { defaultArchiveLimits } from './files/archive-limits.ts'
import { createDiskReserve, type DiskReserve } from './files/disk-reserve.ts'
import { writeFileDurably } from './files/durable-file.ts'
import { readOpenFilesLimit } from './isolation/open-files-limit.ts'
import { probeIsolation } from './isolation/probe.ts'
import type { Isolation } from './isolation/isolation.ts'
import { Problem } from './problem.ts'
import { startHousekeeping } from './schedule/housekeeping.ts'
import type { ClockWork } from './schedule/clock-work.ts'
import { openAuditLog, type AuditLog } from './store/audit-log.ts'
import { createNamedEnvironments, type NamedEnvironments } from './store/named-environments.ts'
import { openPreferences, secretsIn } from './store/preferences.ts'
import { createSecrets } from './store/secrets.ts'
import { createLog, type Log } from './telemetry/log.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'

export interface RunningServer {
  /** `https://127.0.0.1:8443` */
  readonly url: string
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

const textBytes = 2 ** 20
const bodyIdleMs = 60_000
const connectionIdleMs = 600_000
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
  const parts = { isolation, disk, metrics, named, plugins }
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
  const api = await openApi(configuration, {
    ...access,
    executions,
    catalog,
    isolation,
    uploads,
    disk,
    audit,
    metrics,
    log,
    stopping: stopping.signal,
  })
  const cap = capConnections(maxConnections, readOpenFilesLimit())
  if (cap.remark !== undefined) log.warn({}, cap.remark)
  const server = await listen(api, {
    host,
    port,
    maxConnections: cap.maxConnections,
    ...(tls === undefined ? {} : { tls }),
    idleMs: Math.max(connectionIdleMs, 2 * configuration.scriptTimeMs),
    report: (error) => log.warn({ err: error }, 'a connection failed'),
  })
  started.defer(() => server.close(shutdownMs * requestsShare))
  const startMs = Math.round(performance.now() - began)
  log.info({ address: server.url, dataDirectory, startMs, resumeMs }, 'listening')

  const running = started.move()
  let closing: Promise<void> | undefined
  return {
    url: server.url,
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

async function openAccess(configuration: Configuration, prompt: Prompt | undefined, now: () => number) {
  const { dataDirectory, passwordFile, tokenLifetimeMs } = configuration
  const preferences = await openPreferences(join(dataDirectory, 'preferences.json'), writeFileDurably)
  const hashing = createPasswordHashing()
  const { isNew, password } = await obtainPassword({ preferences, hashing, passwordFile, prompt })
  const secrets = createSecrets(secretsIn(preferences), password)
  if (password !== undefined) await secrets.checkPassword()
  const tokens = await createTokens({ preferences, lifetimeMs: tokenLifetimeMs, now })
  const login = createLogin({
    preferences,
    hashing,
    tokens,
    throttle: createThrottle(now),
    passwordGiven: (text) => secrets.unlock(text),
  })
  return { preferences, secrets, tokens, login, isPasswordNew: isNew }
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

interface EngineParts extends Pick<ApiRooms, 'isolation' | 'disk' | 'metrics'> {
  readonly named: NamedEnvironments
  readonly plugins: ReadonlyMap<string, EnvironmentPlugin> | undefined
}

function openEngine(
  configuration: Configuration,
  { isolation, disk, metrics, named, plugins }: EngineParts,
  now: () => number,
  log: Log,
): Promise<Executions> {
  const { dataDirectory, slots, scriptTimeMs, scriptMemoryBytes, outputBytes } = configuration
  const { maxExecutions, maxQueuedExecutions, maxJobs } = configuration
  const warn = (message: string, about: object) => log.warn(about, message)
  return createExecutions({
    dataDirectory,
    slots,
    scriptTimeMs,
    scriptMemoryBytes,
    outputBytes,
    limits: { maxExecutions, maxQueuedExecutions, maxJobs },
    checkDisk: () => disk.check(),
    named,
    ...(plugins !== undefined && { plugins }),
    isolation,
    taskNetwork: configuration.taskNetwork,
    taskLimits: readTaskLimits(configuration),
    taskPaths: configuration.taskPaths.split(':').filter((path) => path.startsWith('/')),
    variables: processVariables,
    now,
    jobsEnded: (environment, outcome, count) => metrics.jobsEnded(environment, outcome, count),
    functionHostLost: () => metrics.functionHostLost(),
    warn,
  })
}

/** Zero means that there is no limit. */
function readTaskLimits(configuration: Configuration): JobLimits {
  const { taskMemoryBytes, taskFileBytes, taskOutputBytes, taskProcesses } = configuration
  return {
    ...(taskMemoryBytes > 0 && { memoryBytes: taskMemoryBytes }),
    ...(taskFileBytes > 0 && { fileBytes: taskFileBytes }),
    ...(taskOutputBytes > 0 && { printedBytes: taskOutputBytes }),
    ...(taskProcesses > 0 && { processes: taskProcesses }),
  }
}

function openAudit(
  { dataDirectory, auditBytes: maxBytes }: Configuration,
  metrics: Metrics,
  now: () => number,
  log: Log,
): Promise<AuditLog> {
  return openAuditLog({
    path: join(dataDirectory, 'audit.log'),
    maxBytes,
    now,
    elapsedMs: () => performance.now(),
    warn(message) {
      metrics.auditFailed()
      log.warn(message)
    },
  })
}

/** Tells of a password and of options that are others than at the start before. */
async function auditStart(
  configuration: Configuration,
  {
    preferences,
    isPasswordNew,
  }: Pick<Awaited<ReturnType<typeof openAccess>>, 'preferences' | 'isPasswordNew'>,
  audit: AuditLog,
): Promise<void> {
  if (isPasswordNew) audit.record({ action: 'password', outcome: 'ok' })
  const shown = showOptions(configuration)
  const before = preferences.current().configuration
  for (const change of before === undefined ? [] : findChanges(before, shown))
    audit.record({ action: 'configuration', outcome: 'ok', object: change })
  if (!isDeepStrictEqual(before, shown))
    await preferences.update((current) => ({ ...current, configuration: { ...shown } }))
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

interface ApiRooms extends Pick<Awaited<ReturnType<typeof openAccess>>, 'login' | 'tokens'> {
  readonly executions: Executions
  readonly catalog: Catalog
  readonly isolation: Isolation
  readonly uploads: Uploads
  readonly disk: DiskReserve
  readonly audit: AuditLog
  readonly metrics: Metrics
  readonly log: Log
  readonly stopping: AbortSignal
}

async function openApi(configuration: Configuration, rooms: ApiRooms): Promise<Api> {
  const { dataDirectory, uploadBytes, gzipDownloads, requestsPerSecond, requestBurst } = configuration
  const { executions, catalog, isolation, uploads, disk, audit, login, tokens, metrics, log, stopping } =
    rooms
  const elapsedMs = () => performance.now()
  const auditRequest = createRequestAudit(audit, elapsedMs)
  const openmole = openmoleDialect({ executions, catalog, login, gzipByDefault: gzipDownloads })
  const operations = operationsDialect({
    version: findInstallation().version,
    dialects: [openmole],
    checkReady: () => checkReady(dataDirectory, disk, stopping),
    remarks: isolation.isWeaker ? [isolation.report] : [],
    metrics: {
      contentType: metrics.contentType,
      async text() {
        const environments = await executions.environments.list()
        metrics.countAnew()
        countExecutions(executions, metrics)
        for (const { name, health } of environments)
          if (health.state !== 'unknown') metrics.environmentUp(name, health.state === 'good')
        metrics.uploadsUnderWay(uploads.underWay)
        metrics.diskFree(await disk.freeBytes())
        return metrics.text()
      },
    },
  })
  return createApi({
    dialects: [openmole, operations],
    authentication: createAuthentication({
      users: { byKey: () => undefined },
      tokens,
      wrongTries: createRequestLimiter({ perSecond: 1, burst: 20, elapsedMs }),
    }),
    uploads,
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
  })
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

const probes = new Set(['/livez', '/readyz', '/metrics'])
const unrouted = 'none'

function observeRequest(request: ObservedRequest, log: Log, metrics: Metrics): void {
  const { route = unrouted, status, durationMs } = request
  metrics.requestEnded({ route, status, durationMs })
  if (request.code !== undefined) metrics.requestRefused(request.code)
  log[probes.has(route) ? 'debug' : 'info']({ ...request, durationMs: Math.round(durationMs) }, 'request')
}

/** Gauges are set when somebody asks, from counters that the engine keeps anyway. */
function countExecutions(executions: Executions, metrics: Metrics): void {
  const all = executions.list()
  metrics.executionsQueued(executions.queueLength)
  for (const state of ['running', 'finished', 'failed'] as const)
    metrics.executionsInState(state, all.filter((each) => each.state === state).length)
  const jobs = new Map<string, { ready: number; submitted: number; running: number }>()
  for (const { id } of all.filter((each) => each.state === 'running'))
    for (const { name, ready, submitted, running } of executions.state(id).environments) {
      const sum = jobs.get(name) ?? { ready: 0, submitted: 0, running: 0 }
      jobs.set(name, {
        ready: sum.ready + ready,
        submitted: sum.submitted + submitted,
        running: sum.running + running,
      })
    }
  for (const [environment, counts] of jobs)
    for (const [state, count] of Object.entries(counts)) metrics.jobsInState(environment, state, count)
}
