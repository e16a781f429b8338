import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createExecutions } from '../../src/engine/executions.ts'
import type { Executions, ExecutionState, StartRequest } from '../../src/engine/contract.ts'
import type { EngineLimits } from '../../src/engine/start-queue.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import type { VolunteerProject } from '../../src/environment/volunteers.ts'
import type { NamedEnvironments } from '../../src/store/named-environments.ts'

/** An engine on a directory of its own, both gone at the end of the test. */
export interface TestEngine extends AsyncDisposable {
  readonly executions: Executions
  readonly dataDirectory: string
  readonly warnings: string[]
  /** Starts a script whose work directory holds these files; `workflow.ts` is the script. */
  start(
    files: Readonly<Record<string, string>>,
    request?: Pick<StartRequest, 'inputs' | 'environment' | 'owner' | 'labels'>,
  ): Promise<string>
  /** Starts a script and waits for its end. */
  run(files: Readonly<Record<string, string>>): Promise<ExecutionState>
  /** Closes the engine, lets something happen, and opens it again on the same directory. */
  restart(meanwhile?: () => Promise<void>): Promise<TestEngine>
}

export interface TestEngineOptions {
  readonly dataDirectory?: string
  readonly slots?: number
  readonly scriptTimeMs?: number
  readonly limits?: EngineLimits
  readonly runningJobsOf?: (owner: string) => number
  readonly named?: NamedEnvironments
  /** The server's own environment variables; those of the tests without. */
  readonly variables?: Readonly<Record<string, string | undefined>>
  readonly plugins?: ReadonlyMap<string, EnvironmentPlugin>
  readonly volunteers?: VolunteerProject
}

export async function startTestEngine(options: TestEngineOptions = {}): Promise<TestEngine> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), 'molehill-engine-')))
  const warnings: string[] = []
  const executions = await createExecutions({
    dataDirectory,
    slots: options.slots ?? 2,
    scriptTimeMs: options.scriptTimeMs ?? 30_000,
    scriptMemoryBytes: 512 * 2 ** 20,
    outputBytes: 2 ** 20,
    ...(options.limits !== undefined && { limits: options.limits }),
    ...(options.runningJobsOf !== undefined && { runningJobsOf: options.runningJobsOf }),
    ...(options.named !== undefined && { named: options.named }),
    ...(options.plugins !== undefined && { plugins: options.plugins }),
    ...(options.volunteers !== undefined && { volunteers: options.volunteers }),
    variables: options.variables ?? process.env,
    now: Date.now,
    warn: (message) => warnings.push(message),
  })
  let isClosed = false
  const close = async (): Promise<void> => {
    if (!isClosed) await executions.close()
    isClosed = true
  }
  const engine: TestEngine = {
    executions,
    dataDirectory,
    warnings,
    start: async (files, request) =>
      executions.start({
        ...request,
        script: 'workflow.ts',
        signal: AbortSignal.timeout(60_000),
        fill: async (workDirectory) => writeFiles(workDirectory, files),
      }),
    run: async (files) => executions.ended(await engine.start(files), AbortSignal.timeout(60_000)),
    async restart(meanwhile) {
      await close()
      await meanwhile?.()
      return startTestEngine({ ...options, dataDirectory })
    },
    async [Symbol.asyncDispose]() {
      await close()
      await rm(dataDirectory, { recursive: true, force: true })
    },
  }
  return engine
}

/** Writes files into a directory, made if need be. */
export async function writeFiles(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(directory, { recursive: true })
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), content)
  }
}
