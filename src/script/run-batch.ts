import type { Piscina } from 'piscina'
import { encodeJson } from '../workflow/context.ts'
import {
  clearSlot,
  condemnCall,
  isSmall,
  openSlot,
  outcomeCount,
  outcomeText,
  runningCall,
  sharedNow,
  type CallSlot,
} from './call-slot.ts'
import type { FunctionOutcome } from './contract.ts'
import type { WorkerEnd, WorkerTask } from './host-messages.ts'

/** Calls of one function, to be made in order. */
export interface Batch {
  readonly id: number
  readonly functionName: string
  /** JSON of the calls. */
  readonly calls: string
  readonly count: number
  /** Limit for each single call. */
  readonly timeoutMs: number | null
}

/** How long a thread may take to begin with a task; for its first one it has to load the script. */
const loadTimeoutMs = 60_000
/** How often outcomes are handed on while the batch goes on. */
const sliceIntervalMs = 250

/** Slots of tasks that have ended well. */
const spareSlots: CallSlot[] = []

/**
 * Makes the calls of a batch in a thread of the pool. `tell` gets the outcomes as JSON, a comma after each, each
 * once and in order. A call that takes too long, or takes its thread down, gets its outcome and the rest goes on in
 * another thread. Returns early, with fewer outcomes, when aborted.
 */
export async function runBatch(
  batch: Batch,
  pool: Piscina,
  signal: AbortSignal,
  tell: (text: Uint8Array) => void,
): Promise<void> {
  let done = 0
  while (done < batch.count && !signal.aborted) {
    const task = await runTask(batch, done, pool, signal, tell)
    done += task.told
    if (signal.aborted || task.fault === undefined) continue
    const { outcome, isForAll } = task.fault
    const text = Buffer.from(`${encodeJson({ ...outcome })},`)
    for (let left = isForAll ? batch.count - done : 1; left > 0; left -= 1) {
      tell(text)
      done += 1
    }
  }
}

interface TaskResult {
  /** Outcomes handed on. */
  readonly told: number
  /** What is to be said of the next call, or of all that are left. */
  readonly fault?: { readonly outcome: Fault; readonly isForAll: boolean }
}

type Fault = Exclude<FunctionOutcome, { kind: 'returned' }>

async function runTask(
  { functionName, calls, timeoutMs }: Batch,
  from: number,
  pool: Piscina,
  signal: AbortSignal,
  tell: (text: Uint8Array) => void,
): Promise<TaskResult> {
  const slot = spareSlots.pop() ?? openSlot()
  clearSlot(slot)
  let told = 0
  const tellNew = (): void => {
    const count = outcomeCount(slot)
    if (count > told) tell(outcomeText(slot, told, count))
    told = count
  }
  const ending = new AbortController()
  const watch = watchCalls(slot, timeoutMs, () => ending.abort())
  const slices = setInterval(tellNew, sliceIntervalMs)
  const task: WorkerTask = { memory: slot.memory, functionName, calls, from }
  try {
    const end = (await pool.run(task, { signal: AbortSignal.any([signal, ending.signal]) })) as WorkerEnd
    tellNew()
    if (isSmall(slot)) spareSlots.push(slot)
    if (end.kind === 'unavailable')
      return { told, fault: { outcome: { ...end, kind: 'threw' }, isForAll: true } }
    if (end.overflow === null) return { told }
    tell(Buffer.from(`${end.overflow},`))
    return { told: told + 1 }
  } catch (error) {
    tellNew()
    const fault = watch.fault()
    if (fault !== undefined) return { told, fault: { outcome: fault, isForAll: fault.kind === 'crashed' } }
    if (signal.aborted) return { told }
    const hasBegun = told > 0 || runningCall(slot) !== undefined
    return { told, fault: { outcome: describeCrash(error, hasBegun), isForAll: !hasBegun } }
  } finally {
    clearInterval(slices)
    watch.stop()
  }
}

/** Ends the task, by `end`, when one of its calls takes longer than `timeoutMs`, or when it does not begin at all. */
function watchCalls(
  slot: CallSlot,
  timeoutMs: number | null,
  end: () => void,
): { fault(): Fault | undefined; stop(): void } {
  let fault: Fault | undefined
  let timer: NodeJS.Timeout | undefined
  const startedAt = sharedNow()
  const look = (): void => {
    const now = sharedNow()
    const running = runningCall(slot)
    if (running === undefined && outcomeCount(slot) === 0) {
      if (now - startedAt >= loadTimeoutMs) {
        fault = { kind: 'crashed', message: `The script was not loaded within ${loadTimeoutMs} ms.` }
        end()
        return
      }
    } else if (running !== undefined && timeoutMs !== null && now - running.beganAt >= timeoutMs) {
      if (condemnCall(slot, running.index)) {
        fault = { kind: 'timeout', message: `The function took longer than ${timeoutMs} ms.` }
        end()
        return
      }
    }
    const left = timeoutMs === null || running === undefined ? timeoutMs : timeoutMs - (now - running.beganAt)
    timer = setTimeout(look, Math.min(loadTimeoutMs, Math.max(1, Math.ceil(left ?? loadTimeoutMs))))
  }
  look()
  return { fault: () => fault, stop: () => clearTimeout(timer) }
}

function describeCrash(error: unknown, hasBegun: boolean): Fault {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const message = error instanceof Error ? error.message : String(error)
  const what = hasBegun ? 'The function' : 'The script, when loaded for its functions,'
  const exit = /^worker exited with code: (-?\d+)$/.exec(message)?.[1]
  if (exit !== undefined)
    return { kind: 'crashed', message: `${what} ended its process with exit code ${exit}.` }
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') return { kind: 'crashed', message: `${what} used up its memory.` }
  return { kind: 'crashed', message: `${what} took its process down: ${message}` }
}
