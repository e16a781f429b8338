import { readFileSync, readdirSync } from 'node:fs'
import { until } from './until.ts'

/** Processes whose environment holds `text`, zombies left out. */
export function processesWith(text: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text)
      } catch {
        return false
      }
    })
    .map(Number)
    .filter((pid) => pid !== process.pid)
}

/** Whether the process is there and no zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

export async function untilNoProcessWith(text: string): Promise<void> {
  await until(
    `no process has ${text}`,
    () => (processesWith(text).length === 0 ? true : undefined),
    () => processesWith(text),
  )
}
