import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** The numbers that the server tells about itself. No ids in labels: each new value is a time series for ever. */
export interface Metrics {
  /** Forgets what is counted anew each time: jobs and environments that are gone must not stay as they were. */
  countAnew(): void
  /** How many executions are in a state now. */
  executionsInState(state: string, count: number): void
  /** How many jobs of an environment are in a state now. */
  jobsInState(environment: string, state: string, count: number): void
  /** Jobs of an environment have ended. */
  jobsEnded(environment: string, outcome: 'done' | 'failed', count: number): void
  /** How many executions wait for others to end. */
  executionsQueued(count: number): void
  /** A process of functions has ended by itself, and is started again. */
  functionHostLost(): void
  /** What the latest look at an environment has found. */
  environmentUp(environment: string, isUp: boolean): void
  /** An execution was removed because it had been kept long enough. */
  executionExpired(): void
  /** How many results of volunteers' hosts did not count, since there are any. */
  volunteerRefusals(count: number): void
  /** The audit log could not be written; it is tried again. */
  auditFailed(): void
  /** What is configured: executions that may run and wait, and bytes below which nothing new is taken. */
  limits(limits: Limits): void
  /** How many uploads are under way. */
  uploadsUnderWay(count: number): void
  /** Bytes that the server may still write where its data directory lies. */
  diskFree(bytes: number): void
  /** A request was refused, or has failed: the code of the problem. */
  requestRefused(code: string): void
  /** An answer is out. `route` is its pattern (`/state`), never the path that was asked for. */
  requestEnded(request: RequestMeasurement): void
  /** All of it in Prometheus' text format. */
  text(): Promise<string>
  /** The content type of `text`. */
  readonly contentType: string
}

export interface Limits {
  readonly executions: number
  readonly queuedExecutions: number
  readonly diskReserveBytes: number
}

export interface RequestMeasurement {
  readonly route: string
  readonly status: number
  readonly durationMs: number
}

/** Names of environments come from scripts, so there is no end to them. */
const mostEnvironments = 100
const otherEnvironments = 'other'

/** A registry of its own: two servers in one process do not mix. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, prefix: 'molehill_' })
  const executions = new Gauge({
    name: 'molehill_executions',
    help: 'Executions by state.',
    labelNames: ['state'],
    registers,
  })
  const jobs = new Gauge({
    name: 'molehill_jobs',
    help: 'Jobs by environment and state.',
    labelNames: ['environment', 'state'],
    registers,
  })
  const endedJobs = new Counter({
    name: 'molehill_jobs_ended_total',
    help: 'Jobs that have ended, by environment and outcome.',
    labelNames: ['environment', 'outcome'],
    registers,
  })
  const requests = new Histogram({
    name: 'molehill_request_duration_seconds',
    help: 'Time from a request to the end of its answer, by route and status.',
    labelNames: ['route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600],
    registers,
  })
  const queued = new Gauge({
    name: 'molehill_queue_length',
    help: 'Executions that wait for others to end; they count as running too.',
    registers,
  })
  const uploads = new Gauge({ name: 'molehill_uploads', help: 'Uploads under way.', registers })
  const diskFree = new Gauge({
    name: 'molehill_disk_free_bytes',
    help: 'Bytes that may still be written where the data directory lies.',
    registers,
  })
  const refused = new Counter({
    name: 'molehill_requests_refused_total',
    help: 'Requests that were answered with a problem, by its code.',
    labelNames: ['code'],
    registers,
  })
  const lostHosts = new Counter({
    name: 'molehill_function_host_restarts_total',
    help: 'Processes of functions that have ended by themselves, by a crash or for memory, and were started again.',
    registers,
  })
  const environmentUp = new Gauge({
    name: 'molehill_environment_up',
    help: 'Whether the latest look at an environment has found nothing wrong.',
    labelNames: ['environment'],
    registers,
  })
  const expired = new Counter({
    name: 'molehill_executions_expired_total',
    help: 'Executions that were removed because they had been kept long enough.',
    registers,
  })
  const auditFailures = new Counter({
    name: 'molehill_audit_failures_total',
    help: 'Times that the audit log could not be written; what was to be written is tried again.',
    registers,
  })
  const refusals = new Counter({
    name: 'molehill_volunteer_refusals_total',
    help: "Results of volunteers' hosts that did not count: late, doubled, unknown, or another's.",
    registers,
  })
  let toldRefusals = 0
  const limit = (name: string, help: string) => new Gauge({ name, help, registers })
  const limits = {
    executions: limit('molehill_executions_limit', 'Executions that may run at the same time.'),
    queuedExecutions: limit('molehill_queue_limit', 'Executions that may wait.'),
    diskReserveBytes: limit('molehill_disk_reserve_bytes', 'Bytes below which nothing new is taken.'),
  }
  const labelEnvironment = boundNames(mostEnvironments, otherEnvironments)

  return {
    countAnew() {
      jobs.reset()
      environmentUp.reset()
    },
    executionsInState: (state, count) => executions.set({ state }, count),
    jobsInState: (environment, state, count) =>
      jobs.set({ environment: labelEnvironment(environment), state }, count),
    volunteerRefusals(count) {
      refusals.inc(Math.max(0, count - toldRefusals))
      toldRefusals = Math.max(count, toldRefusals)
    },
    jobsEnded: (environment, outcome, count) =>
      endedJobs.inc({ environment: labelEnvironment(environment), outcome }, count),
    functionHostLost: () => lostHosts.inc(),
    environmentUp: (environment, isUp) =>
      environmentUp.set({ environment: labelEnvironment(environment) }, isUp ? 1 : 0),
    executionExpired: () => expired.inc(),
    auditFailed: () => auditFailures.inc(),
    limits(given) {
      limits.executions.set(given.executions)
      limits.queuedExecutions.set(given.queuedExecutions)
      limits.diskReserveBytes.set(given.diskReserveBytes)
    },
    executionsQueued: (count) => queued.set(count),
    uploadsUnderWay: (count) => uploads.set(count),
    diskFree: (bytes) => diskFree.set(bytes),
    requestRefused: (code) => refused.inc({ code }),
    requestEnded: ({ route, status, durationMs }) =>
      requests.observe({ route, status: String(status) }, durationMs / 1000),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

/** Lets the first names through and calls all later ones by one. */
function boundNames(most: number, other: string): (name: string) => string {
  const known = new Set<string>()
  return (name) => {
    if (known.size < most) known.add(name)
    return known.has(name) ? name : other
  }
}
