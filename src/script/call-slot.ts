/**
 * Memory that a worker shares with its supervisor while it goes through a batch: which call it is at, since when, and
 * the outcomes so far. So nothing is lost, and nothing is told twice, when the worker hangs or dies.
 *
 * Layout: Int32 `current` (index of the running call, or one of the marks below), Int32 `count` of outcomes, Float64
 * `beganAt`, Int32 `ends[outcomesAtMost]` (where each outcome's text ends), then the text: JSON, a comma after each.
 */
const betweenCalls = -1
const condemned = -2
const currentField = 0
const countField = 1
const endsField = 4

const comma = ','.charCodeAt(0)

/** Outcomes that one slot takes; a longer batch goes through several. */
export const outcomesAtMost = 1024
const textOffset = (endsField + outcomesAtMost) * Int32Array.BYTES_PER_ELEMENT
const firstTextBytes = 64 * 1024
/** Text of outcomes that one slot takes. */
export const textBytesAtMost = 64 * 1024 * 1024

export interface CallSlot {
  readonly memory: SharedArrayBuffer
  readonly fields: Int32Array
  readonly beganAt: Float64Array
  /** All of the memory behind the fields, as large as it was when last looked at. */
  text: Buffer
}

/** A fresh slot, or the view of one that came from another thread. */
export function openSlot(
  memory = new SharedArrayBuffer(textOffset + firstTextBytes, {
    maxByteLength: textOffset + textBytesAtMost,
  }),
): CallSlot {
  return {
    memory,
    fields: new Int32Array(memory, 0, endsField + outcomesAtMost),
    beganAt: new Float64Array(memory, 8, 1),
    text: Buffer.from(memory, textOffset),
  }
}

const { timeOrigin } = performance

/** Milliseconds on a clock that all threads of the process share. */
export function sharedNow(): number {
  return timeOrigin + performance.now()
}

/** Supervisor: makes the slot ready for another task. */
export function clearSlot({ fields }: CallSlot): void {
  fields[countField] = 0
  Atomics.store(fields, currentField, betweenCalls)
}

/** Supervisor: whether the slot is worth keeping; memory that was once needed for large results is not. */
export function isSmall({ memory }: CallSlot): boolean {
  return memory.byteLength <= textOffset + 16 * firstTextBytes
}

/** Worker: begins the call at `index` of the batch. */
export function beginCall({ fields, beganAt }: CallSlot, index: number): void {
  beganAt[0] = sharedNow()
  Atomics.store(fields, currentField, index)
}

/** Supervisor: the running call and when it began; undefined when none is running. */
export function runningCall({ fields, beganAt }: CallSlot): { index: number; beganAt: number } | undefined {
  const index = Atomics.load(fields, currentField)
  return index < 0 ? undefined : { index, beganAt: beganAt[0] ?? 0 }
}

/** Supervisor: takes the call at `index` out of the worker's hands. False when it has ended in this very moment. */
export function condemnCall({ fields }: CallSlot, index: number): boolean {
  return Atomics.compareExchange(fields, currentField, index, condemned) === index
}

/**
 * Worker: ends the running call with the JSON text of its outcome. `condemned`: the supervisor has given up on the
 * call and has its own outcome for it. `full`: there is no room, so the outcome must be told in another way.
 */
export function endCall(slot: CallSlot, index: number, outcome: string): 'kept' | 'full' | 'condemned' {
  const { fields } = slot
  const count = fields[countField] ?? 0
  const start = count === 0 ? 0 : (fields[endsField + count - 1] ?? 0)
  // A character takes three bytes at most.
  if (start + 3 * outcome.length + 1 > slot.text.length) {
    const needed = start + Buffer.byteLength(outcome) + 1
    if (needed > textBytesAtMost)
      return Atomics.compareExchange(fields, currentField, index, betweenCalls) === index
        ? 'full'
        : 'condemned'
    if (needed > slot.text.length) growText(slot, needed)
  }
  let end = start + slot.text.write(outcome, start)
  slot.text[end] = comma
  end += 1
  fields[endsField + count] = end
  if (Atomics.compareExchange(fields, currentField, index, betweenCalls) !== index) return 'condemned'
  Atomics.store(fields, countField, count + 1)
  return 'kept'
}

function growText(slot: CallSlot, neededBytes: number): void {
  const { memory } = slot
  memory.grow(Math.min(memory.maxByteLength, textOffset + 2 * neededBytes))
  slot.text = Buffer.from(memory, textOffset)
}

/** Supervisor: how many outcomes there are. */
export function outcomeCount({ fields }: CallSlot): number {
  return Atomics.load(fields, countField)
}

/** Supervisor: the text of the outcomes from `from` on, as JSON with a comma after each. */
export function outcomeText({ fields, memory }: CallSlot, from: number, to: number): Buffer {
  const start = from === 0 ? 0 : (fields[endsField + from - 1] ?? 0)
  const end = to === 0 ? 0 : (fields[endsField + to - 1] ?? 0)
  return Buffer.from(Buffer.from(memory, textOffset + start, end - start))
}
