/**
 * Calls functions of a script in a job directory, away from the server: see `RemoteCalls`. Writes one outcome a line as
 * soon as it is known, so that what ends this process takes only the call under way with it.
 */
import { cpSync, mkdirSync, openSync, readFileSync, realpathSync, writeSync } from 'node:fs'
import { basename, join, relative, resolve, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { decodeJson, encodeJson, type Context } from '../workflow/context.ts'
import type { FunctionJob } from '../workflow/task.ts'
import type { Json } from '../workflow/value.ts'
import { FunctionCaller, loadFunctions, type TaskFunction } from './call-functions.ts'
import type { FunctionOutcome } from './contract.ts'
import { writeDirectly } from './direct-output.ts'
import { callPlaces, type RemoteCalls } from './remote-calls.ts'
import { describeThrown } from './thrown.ts'

const directory = realpathSync(process.cwd())
const workUrl = pathToFileURL(`${directory}/`).href
const remote = decodeJson(readFileSync(callPlaces.calls, 'utf8')) as unknown as RemoteCalls
const outcomes = openSync(callPlaces.outcomes, 'a', 0o600)
const times = openSync(callPlaces.times, 'a', 0o600)
const caller = new FunctionCaller(workUrl)

writeDirectly({ stdout: 1, stderr: 2 })
process.on('uncaughtException', (error) => {
  if (!caller.fault(error))
    process.stderr.write(`After its call had ended: ${describeThrown(error, workUrl).stack}\n`)
})

const functions = await loadFunctions({
  workDirectory: directory,
  script: remote.script,
  modulesDirectory: callPlaces.modules,
}).catch((error: unknown) => {
  process.stderr.write(`The script could not be loaded again: ${describeThrown(error, workUrl).stack}\n`)
  process.exit(1)
})
const run = functions.get(remote.functionName) as TaskFunction | undefined
if (run === undefined) {
  process.stderr.write(`The script has no function ${remote.functionName} any more.\n`)
  process.exit(1)
}
for (const { job, inputs } of remote.calls) {
  const results = join(directory, callPlaces.results, String(job))
  const begunAtMs = performance.now()
  const outcome = named(
    await limited(Promise.resolve(caller.call(run, placed(inputs), laziness(results)))),
    job,
    results,
  )
  writeSync(times, `${performance.now() - begunAtMs}\n`)
  writeSync(outcomes, `${encodeJson({ job, outcome } as unknown as Json)}\n`)
}
process.exit()

/** A call that waits too long has timed out. One that never waits ends with the job. */
async function limited(settled: Promise<FunctionOutcome>): Promise<FunctionOutcome> {
  const { timeoutMs } = remote
  if (timeoutMs === null) return settled
  const { promise, resolve: expire } = Promise.withResolvers<FunctionOutcome>()
  const timer = setTimeout(
    () => expire({ kind: 'timeout', message: `The function took longer than ${timeoutMs} ms.` }),
    timeoutMs,
  )
  try {
    return await Promise.race([settled, promise])
  } finally {
    clearTimeout(timer)
  }
}

function laziness(results: string): FunctionJob {
  return {
    get directory() {
      mkdirSync(results, { recursive: true })
      return results
    },
  }
}

function placed(inputs: Context): Context {
  const given: Record<string, Json> = { ...inputs }
  for (const name of remote.fileInputs)
    given[name] = mapTexts(given[name] ?? null, (path) => join(directory, path))
  return given
}

/** File values that a function returned, as the server knows them. */
function named(outcome: FunctionOutcome, job: number, results: string): FunctionOutcome {
  if (outcome.kind !== 'returned' || typeof outcome.result !== 'object' || outcome.result === null)
    return outcome
  const result: Record<string, unknown> = { ...outcome.result }
  try {
    for (const name of remote.fileOutputs)
      if (name in result)
        result[name] = mapTexts(result[name] as Json, (path) => nameOnServer(path, job, results))
  } catch (error) {
    const { message, stack } = describeThrown(error, workUrl)
    return { kind: 'threw', message, stack }
  }
  return { kind: 'returned', result }
}

function nameOnServer(given: string, job: number, results: string): string {
  const { workDirectory, filesDirectory } = remote.server
  const path = resolve(directory, given)
  const inResults = below(results, path)
  if (inResults !== undefined) return join(filesDirectory, String(job), inResults)
  const inInputs = below(join(directory, callPlaces.inputs), path)
  if (inInputs !== undefined) return join(filesDirectory, inInputs)
  const inWork = below(directory, path)
  // What does not lie in the job directory is told by the server.
  if (inWork === undefined) return path
  // A name that leads out of the job directory leads to the work directory as it was sent.
  if (below(directory, realpathSync(path)) === undefined) return join(workDirectory, inWork)
  mkdirSync(results, { recursive: true })
  cpSync(path, join(results, basename(path)), { recursive: true })
  return join(filesDirectory, String(job), basename(path))
}

function below(parent: string, path: string): string | undefined {
  const inside = relative(parent, path)
  return inside === '' || inside === '..' || inside.startsWith(`..${sep}`) ? undefined : inside
}

function mapTexts(value: Json, change: (text: string) => string): Json {
  if (typeof value === 'string') return change(value)
  return Array.isArray(value) ? value.map((each: Json) => mapTexts(each, change)) : value
}
