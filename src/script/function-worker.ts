/** A worker of the function host: calls functions of the script, one after the other. */
import { mkdirSync, realpathSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { workerData } from 'piscina'
import { decodeJson, encodeJson } from '../workflow/context.ts'
import type { FunctionTable } from '../workflow/compile-task.ts'
import type { FunctionJob } from '../workflow/task.ts'
import type { Json } from '../workflow/value.ts'
import { FunctionCaller, loadFunctions, type TaskFunction } from './call-functions.ts'
import { beginCall, endCall, openSlot, outcomesAtMost, textBytesAtMost } from './call-slot.ts'
import type { FunctionCall, FunctionOutcome, ScriptSource } from './contract.ts'
import { writeDirectly } from './direct-output.ts'
import type { WorkerEnd, WorkerTask } from './host-messages.ts'
import { describeThrown } from './thrown.ts'

const resultLengthAtMost = textBytesAtMost / 4

const source = workerData as ScriptSource
const workDirectory = realpathSync(source.workDirectory)
const workUrl = pathToFileURL(`${workDirectory}/`).href
let functions: Promise<FunctionTable> | undefined
const caller = new FunctionCaller(workUrl)

// The process hands both on together, so that they stay in order.
writeDirectly({ stdout: 1, stderr: 1 })
process.on('uncaughtException', (error) => {
  if (!caller.fault(error))
    process.stderr.write(`After its call had ended: ${describeThrown(error, workUrl).stack}\n`)
})

/** Goes through the calls of one task and leaves their outcomes in its shared memory. */
export async function runTask({ memory, functionName, calls, from }: WorkerTask): Promise<WorkerEnd> {
  let run: TaskFunction | undefined
  try {
    functions ??= loadFunctions(source)
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
    const settled = caller.call(run, call.inputs, new LazyJob(call.directory))
    // Waiting for what is there already would cost as much as a small function.
    const text = encodeOutcome(settled instanceof Promise ? await settled : settled)
    const end = endCall(slot, index, text)
    if (end === 'full') return { kind: 'finished', overflow: text }
    if (end === 'condemned') break
  }
  return { kind: 'finished', overflow: null }
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
