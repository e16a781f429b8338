import type { Tolerance } from '../environment/volunteers.ts'
import { readNumbers } from './result-archive.ts'
import type { Sameness } from '../environment/sameness.ts'

/** Of one result: two of them are in memory at a time. */
const numbersAtMost = 4_000_000

/** Whether two results are the same but for numbers that differ little. Throws only where a file cannot be read. */
export async function compareNumbers(left: string, right: string, tolerance: Tolerance): Promise<Sameness> {
  const one = await readNumbers(left, numbersAtMost)
  if (one.kind === 'broken') return { kind: 'unclear', message: one.message }
  const other = await readNumbers(right, numbersAtMost)
  if (other.kind === 'broken') return { kind: 'unclear', message: other.message }
  const isSame =
    one.digest === other.digest &&
    one.numbers.length === other.numbers.length &&
    one.numbers.every((number, index) => isNear(number, other.numbers[index] ?? NaN, tolerance))
  return { kind: isSame ? 'same' : 'different' }
}

/** Where one is not finite, the other must be the same. */
export function isNear(
  one: number,
  other: number,
  { relative, absolute }: Pick<Tolerance, 'relative' | 'absolute'>,
): boolean {
  if (one === other) return true
  const difference = Math.abs(one - other)
  return (
    Number.isFinite(difference) &&
    difference <= Math.max(absolute, relative * Math.max(Math.abs(one), Math.abs(other)))
  )
}
