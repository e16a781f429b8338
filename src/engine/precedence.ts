import type { Precedence } from '../job/attempt-source.ts'
import { priorityLabel, type ExecutionSummary } from './contract.ts'

type Labelled = Pick<ExecutionSummary, 'owner' | 'labels'>

/** Where an execution stands among those of its owner; undefined where it has no priority. */
export function precedenceOf({ owner, labels }: Labelled): Precedence | undefined {
  const text = labels[priorityLabel]
  const priority = Number(text)
  return text === undefined || !Number.isFinite(priority) ? undefined : { group: owner, priority }
}

/**
 * Which of some that wait is next: the first, or one of the same owner that has a higher priority. Undefined where
 * none waits.
 */
export function chooseNext<Item extends Labelled>(waiting: Iterable<Item>): Item | undefined {
  let chosen: Item | undefined
  let best: Precedence | undefined
  for (const item of waiting) {
    if (chosen === undefined) {
      chosen = item
      best = precedenceOf(item)
      if (best === undefined) return chosen
      continue
    }
    const own = precedenceOf(item)
    if (own === undefined || best === undefined || own.group !== best.group || own.priority <= best.priority)
      continue
    chosen = item
    best = own
  }
  return chosen
}
