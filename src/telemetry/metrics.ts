import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** The numbers that the server tells about itself. No ids in labels: each new value is a time series for ever. */
export interface Metrics {
  /** How many executions are in a state now. */
  executionsInState(state: string, count: number): void
  /** How many jobs of an environment are in a state now. */
  jobsInState(environment: string, state: string, count: number): void
  /** Jobs of an environment have ended. */
  jobsEnded(environment: string, outcome: 'done' | 'failed', count: number): void
  /** How many executions wait for others to end. */
  executionsQueued(count: number): void
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
  const labelEnvironment = boundNames(mostEnvironments, otherEnvironments)

  return {
    executionsInState: (state, count) => executions.set({ state }, count),
    jobsInState: (environment, state, count) =>
      jobs.set({ environment: labelEnvironment(environment), state }, count),
    jobsEnded: (environment, outcome, count) =>
      endedJobs.inc({ environment: labelEnvironment(environment), outcome }, count),
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
