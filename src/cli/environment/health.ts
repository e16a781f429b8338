import type { EnvironmentAnswer } from '../remote/answers.ts'
import { formatSpan } from '../screen/table.ts'

/** `good, 4 min 10 s ago`; what is wrong where something is. */
export function describeHealth(
  { state, message, checkedAt }: EnvironmentAnswer['health'],
  now: number,
): string {
  const age = checkedAt === undefined ? '' : `, ${formatSpan(Math.max(0, now - checkedAt))} ago`
  return `${state}${age}${state === 'bad' ? `: ${message}` : ''}`
}
