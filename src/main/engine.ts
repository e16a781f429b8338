import { processVariables } from '../config/process-variables.ts'
import type { Configuration } from '../config/options.ts'
import type { Executions } from '../engine/contract.ts'
import { createExecutions } from '../engine/executions.ts'
import type { EnvironmentPlugin, JobLimits } from '../environment/plugin.ts'
import type { FileDesk } from '../environment/file-desk.ts'
import type { VolunteerProject } from '../environment/volunteers.ts'
import type { DiskReserve } from '../files/disk-reserve.ts'
import type { Isolation } from '../isolation/isolation.ts'
import type { NamedEnvironments } from '../store/named-environments.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Users } from '../users/contract.ts'
import { defaultQuota } from './access.ts'

export interface EngineParts {
  readonly isolation: Isolation
  readonly disk: DiskReserve
  readonly metrics: Metrics
  readonly named: NamedEnvironments
  readonly users: Pick<Users, 'find'>
  readonly plugins: ReadonlyMap<string, EnvironmentPlugin> | undefined
  /** Absent where the server takes no volunteers. */
  readonly volunteers: VolunteerProject | undefined
  readonly fileDesk: FileDesk
}

/** Opens the engine on a data directory: executions that have not ended go on. */
export function openEngine(
  configuration: Configuration,
  { isolation, disk, metrics, named, users, plugins, volunteers, fileDesk }: EngineParts,
  now: () => number,
  log: Log,
): Promise<Executions> {
  const { dataDirectory, slots, scriptTimeMs, scriptMemoryBytes, outputBytes } = configuration
  const { maxExecutions, maxQueuedExecutions, maxJobs } = configuration
  const quota = defaultQuota(configuration)
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
    runningJobsOf: (owner) =>
      users.find(owner)?.quota.runningJobs ?? quota.runningJobs ?? Number.POSITIVE_INFINITY,
    ...(plugins !== undefined && { plugins }),
    ...(volunteers !== undefined && { volunteers }),
    fileDesk,
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
