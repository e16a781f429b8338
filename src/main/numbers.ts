import type { ObservedRequest } from '../api/observe.ts'
import type { Uploads } from '../api/uploads.ts'
import type { Executions } from '../engine/contract.ts'
import type { DiskReserve } from '../files/disk-reserve.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Volunteers } from '../volunteers/contract.ts'

export interface NumberSources {
  readonly executions: Executions
  readonly uploads: Uploads
  readonly disk: DiskReserve
  readonly metrics: Metrics
  /** Absent where the server takes none. */
  readonly volunteers?: { readonly project: Pick<Volunteers, 'countRefusals'> } | undefined
}

/** The numbers for monitoring, as they are now. */
export async function tellNumbers({
  executions,
  uploads,
  disk,
  metrics,
  volunteers,
}: NumberSources): Promise<string> {
  const environments = await executions.environments.list()
  metrics.countAnew()
  countExecutions(executions, metrics)
  for (const { name, health } of environments)
    if (health.state !== 'unknown') metrics.environmentUp(name, health.state === 'good')
  if (volunteers !== undefined) metrics.volunteerRefusals(await volunteers.project.countRefusals())
  metrics.uploadsUnderWay(uploads.underWay)
  metrics.diskFree(await disk.freeBytes())
  return metrics.text()
}

const probes = new Set(['/livez', '/readyz', '/metrics'])
const unrouted = 'none'

/** Tells log and metrics of a request that is over. */
export function observeRequest(request: ObservedRequest, log: Log, metrics: Metrics): void {
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
