/** A worker of the function host: calls functions of the script, one after the other. */
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { workerData } from 'piscina'
import { compile } from '../workflow/compile.ts'
import { decodeJson, encodeJson } from '../workflow/context.ts'
import type { FunctionTable } from '../workflow/compile-task.ts'
import type { FunctionJob } from '../workflow/task.ts'
import type { Json } from '../workflow/value.ts'
import { Workflow } from '../workflow/workflow.ts'
import { beginCall, endCall, openSlot, outcomesAtMost, textBytesAtMost } from './call-slot.ts'
import type { FunctionCall, FunctionOutcome, ScriptSource } from './contract.ts'
import { writeDirectly } from './direct-output.ts'
import type { WorkerEnd, WorkerTask } from './host-messages.ts'
import { hookModules } from './module-hooks.ts'
import { findForeign } from './result-data.ts'
import { describeThrown } from './thrown.ts'

const resultLengthAtMost = textBytesAtMost / 4

type TaskFunction = (inputs: unknown, job: FunctionJob) => unknown

const source = workerData as ScriptSource
const workDirectory = realpathSync(source.workDirectory)
const workUrl = pathToFileURL(`${workDirectory}/`).href
let functions: Promise<FunctionTable> | undefined
/** Ends the call that is being awaited when an error turns up outside of it. */
let interrupt: ((error: unknown) => void) | undefined

// The process hands both on together, so that they stay in order.
writeDirectly({ stdout: 1, stderr: 1 })
process.on('uncaughtException', (error) => {
  if (interrupt !== undefined) interrupt(error)
  else process.stderr.write(`After its call had ended: ${describeThrown(error, workUrl).stack}\n`)
})

/** Goes through the calls of one task and leaves their outcomes in its shared memory. */
export async function runTask({ memory, functionName, calls, from }: WorkerTask): Promise<WorkerEnd> {
  let run: TaskFunction | undefined
  try {
    functions ??= loadFunctions()
    run = (await functions).get(functionName) as TaskFunction | undefined
  } catch (error) {
    const { message, stack } = describeThrown(error, workUrl)
    return { kind: 'unavailable', message: `The script could not be loaded again: ${message}`, stack }
  }
  if (run === undefined)
    return { kind: 'unavailable', message: `The script has no function ${functionName} any more.`, stack: '' }
  const slot = openSlot(memory)
  const list = decodeJson(calls) as unknown as readonly FunctionCall[]
  for (const [index, call] of list.entries()) {
    if (index < from) continue
    if (index - from === outcomesAtMost) break
    beginCall(slot, index)
    const settled = settle(run, call)
    // Waiting for what is there already would cost as much as a small function.
    const text = encodeOutcome(settled instanceof Promise ? await settled : settled)
    const end = endCall(slot, index, text)
    if (end === 'full') return { kind: 'finished', overflow: text }
    if (end === 'condemned') break
  }
  return { kind: 'finished', overflow: null }
}

async function loadFunctions(): Promise<FunctionTable> {
  hookModules({ workUrl, snapshotUrl: pathToFileURL(`${realpathSync(source.modulesDirectory)}/`).href })
  const namespace = (await import(pathToFileURL(join(workDirectory, source.script)).href)) as {
    default: unknown
  }
  if (!(namespace.default instanceof Workflow)) throw new TypeError('It exports no workflow any more.')
  return compile(namespace.default, { script: source.script, directoryUrl: workUrl }).functions
}

function settle(
  run: TaskFunction,
  { inputs, directory }: FunctionCall,
): FunctionOutcome | Promise<FunctionOutcome> {
  try {
    const result = run(inputs, new LazyJob(directory))
    return isThenable(result) ? interruptible(result).then(checkResult, describeFailure) : checkResult(result)
  } catch (error) {
    return describeFailure(error)
  }
}

function checkResult(result: unknown): FunctionOutcome {
  try {
    const foreign = findForeign(result)
    if (foreign === undefined) return { kind: 'returned', result }
    const message = `The function returned something that is no data: ${foreign}.`
    return { kind: 'threw', message, stack: message }
  } catch (error) {
    return describeFailure(error)
  }
}

function describeFailure(error: unknown): FunctionOutcome {
  const { message, stack } = describeThrown(error, workUrl)
  return { kind: 'threw', message, stack }
}

async function interruptible(result: PromiseLike<unknown>): Promise<unknown> {
  const { promise, reject } = Promise.withResolvers<never>()
  interrupt = reject
  try {
    return await Promise.race([result, promise])
  } finally {
    interrupt = undefined
  }
}

function isThenable(result: unknown): result is PromiseLike<unknown> {
  return (
    typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function'
  )
}

function encodeOutcome(outcome: FunctionOutcome): string {
  const text = outcome.kind === 'returned' ? encodeReturned(outcome.result) : encodeJson({ ...outcome })
  if (text.length <= resultLengthAtMost) return text
  const message = `The function returned ${text.length} characters of data; expected no more than ${resultLengthAtMost}. Large results belong into files.`
  return encodeJson({ kind: 'threw', message, stack: message })
}

function encodeReturned(result: unknown): string {
  return result === undefined
    ? '{"kind":"returned"}'
    : `{"kind":"returned","result":${encodeJson(result as Json)}}`
}

/** Most functions never ask for their directory. */
class LazyJob implements FunctionJob {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  get directory(): string {
    mkdirSync(this.#directory, { recursive: true })
    return this.#directory
  }
}
