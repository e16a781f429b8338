import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { FileTransfer } from '../environment/environment.ts'
import type { ExecutionPaths } from '../job/command.ts'
import { handOverFor } from '../files/hand-over.ts'
import { openWay } from '../files/open-way.ts'
import { removeTree } from '../files/remove-tree.ts'
import type { AttemptEnding } from '../job/attempt-source.ts'
import type { FunctionOutcome } from '../script/contract.ts'
import { callPlaces, type RemoteCalls } from '../script/remote-calls.ts'
import type { Runtime } from '../script/runtime.ts'
import { decodeJson, encodeJson, type Context } from '../workflow/context.ts'
import type { PlanCapsule, PlanFunctionTask } from '../workflow/plan.ts'
import type { Json } from '../workflow/value.ts'
import { describeBadEnd } from './bad-end.ts'
import { readOutcome, taskInputs } from './function-jobs.ts'
import type { Job } from './job.ts'
import type { JobEnd, Package, PackageOptions, ResultPlace } from './package.ts'

/** What calls of functions away from the server need of it. */
export interface CallSurroundings {
  readonly paths: ExecutionPaths & { readonly modulesDirectory: string }
  readonly runtime: Runtime
  readonly script: string
}

/** More text of outcomes is not read. */
const outcomesLengthAtMost = 256 * 1024 * 1024

/**
 * Jobs of a function task as one environment job: Node calls the function for one after the other. The language and
 * Node itself travel with it, once to each computer.
 */
export function packCalls(
  capsule: PlanCapsule & { readonly task: PlanFunctionTask },
  jobs: readonly Job[],
  { paths, runtime, script }: CallSurroundings,
  { id, directory }: PackageOptions,
): Package {
  const { task, timeoutMs } = capsule
  const fileInputs = task.inputs.flatMap(({ name, type }) => (type.base === 'file' ? [name] : []))
  const transfers = new Map<string, FileTransfer>()
  const place = (file: string): string => {
    const [root, ...rest] = file.split('/')
    if (root !== 'files') return rest.join('/')
    const inside = rest.join('/')
    const to = `${callPlaces.inputs}/${inside}`
    transfers.set(to, { from: join(paths.filesDirectory, inside), to })
    return to
  }
  const remote: RemoteCalls = {
    script,
    functionName: task.function,
    timeoutMs,
    calls: jobs.map((job) => ({ job: job.id, inputs: inputsOf(job, task, fileInputs, place) })),
    fileInputs,
    fileOutputs: task.outputs.flatMap(({ name, type }) => (type.base === 'file' ? [name] : [])),
    server: { workDirectory: paths.workDirectory, filesDirectory: paths.filesDirectory },
  }
  let callMs: number | undefined
  const callsFile = `${directory}.calls`
  mkdirSync(dirname(callsFile), { recursive: true })
  // Whole at every moment: where the file system is shared, a job that outlives the server may be reading it.
  writeFileSync(`${callsFile}.new`, encodeJson(remote as unknown as Json))
  renameSync(`${callsFile}.new`, callsFile)
  return {
    request: {
      id,
      command: [callPlaces.node, '--no-warnings', `${callPlaces.runtime}/${runtime.program}`],
      env: {},
      workDirectory: paths.workDirectory,
      ...(paths.linksWithin !== undefined && { linksWithin: paths.linksWithin }),
      inputs: [
        { from: callsFile, to: callPlaces.calls },
        // The user's own: shared files may stay on a computer after the execution.
        { from: paths.modulesDirectory, to: callPlaces.modules },
        ...transfers.values(),
      ],
      shared: [
        { from: runtime.node, to: callPlaces.node },
        { from: runtime.directory, to: callPlaces.runtime },
      ],
      outputs: [
        { path: callPlaces.outcomes, optional: true },
        { path: callPlaces.times, optional: true, varies: true },
        { path: callPlaces.results, optional: true },
      ],
      // What never waits can only be ended from outside.
      resources: timeoutMs === null ? {} : { wallTimeMs: timeoutMs * jobs.length + nodeStartMs },
    },
    callMs: () => callMs,
    open: async (ending, elsewhere) => {
      const place = elsewhere ?? { directory, filesDirectory: paths.filesDirectory }
      const outcomes = await readOutcomes(join(place.directory, callPlaces.outcomes))
      if (elsewhere === undefined) callMs = await readMeanTime(join(directory, callPlaces.times))
      const unknown = await describeUnknown(ending)
      const ends: JobEnd[] = []
      // Calls are made in order: the first without an outcome is the one that ended the process.
      const culprit = jobs.find((job) => !outcomes.has(job.id))
      for (const [index, job] of jobs.entries()) {
        const outcome = outcomes.get(job.id)?.outcome
        // What all calls printed stands with the first.
        const collected = index === 0 ? unknown.collected : undefined
        if (outcome !== undefined)
          await bringResults(join(place.directory, callPlaces.results, String(job.id)), job, place)
        ends.push(
          outcome === undefined
            ? { ...unknown, job, collected, isUntried: job !== culprit }
            : { ...ended, job, collected, result: readOutcome(task, outcome, paths) },
        )
      }
      return ends
    },
    dispose: async () => rm(callsFile, { force: true }),
  }
}

/** Starting Node and loading the script on a slow file system must not count as a call that takes too long. */
const nodeStartMs = 30_000

const ended = { exitCode: null, isEnvironmentsFault: false, isCancelled: false }

function inputsOf(
  { activation }: Job,
  task: PlanFunctionTask,
  fileInputs: readonly string[],
  place: (file: string) => string,
): Context {
  const inputs: Record<string, Json> = { ...taskInputs(task.inputs, activation.context) }
  for (const name of fileInputs) {
    const value = inputs[name]
    if (value !== undefined) inputs[name] = mapTexts(value, place)
  }
  return inputs
}

/** What is said of a call without an outcome: the process ended before it. */
async function describeUnknown(ending: AttemptEnding): Promise<Omit<JobEnd, 'job'>> {
  if (ending.kind !== 'exited' || ending.exitCode !== 0) return describeBadEnd('function', ending)
  const message = 'The function ended its process.'
  return {
    ...ended,
    exitCode: 0,
    collected: ending.collected,
    result: { kind: 'failure', message, stack: '' },
  }
}

interface OutcomeLine {
  readonly job: number
  readonly outcome: FunctionOutcome
}

async function readMeanTime(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const times = text.split('\n').slice(0, -1).map(Number)
  return times.length === 0 ? undefined : times.reduce((sum, each) => sum + each, 0) / times.length
}

async function readOutcomes(path: string): Promise<ReadonlyMap<number, OutcomeLine>> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const outcomes = new Map<number, OutcomeLine>()
  for (const line of text.slice(0, outcomesLengthAtMost).split('\n')) {
    // The last line is cut when the process was killed while it wrote.
    const read = readLine(line)
    if (read !== undefined) outcomes.set(read.job, read)
  }
  return outcomes
}

function readLine(line: string): OutcomeLine | undefined {
  if (line === '') return undefined
  try {
    return decodeJson(line) as unknown as OutcomeLine
  } catch {
    return undefined
  }
}

async function bringResults(from: string, job: Job, { filesDirectory }: ResultPlace): Promise<void> {
  await mkdir(filesDirectory, { recursive: true })
  const { handle, path } = await openWay(filesDirectory, [])
  try {
    const to = join(path, String(job.id))
    await removeTree(to)
    await handOverFor(from, handle)
    await rename(from, to)
  } catch (error) {
    // Most calls leave no files.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  } finally {
    await handle.close()
  }
}

function mapTexts(value: Json, change: (text: string) => string): Json {
  if (typeof value === 'string') return change(value)
  return Array.isArray(value) ? value.map((each: Json) => mapTexts(each, change)) : value
}
