import { readFile, readdir } from 'node:fs/promises'
import { basename } from 'node:path'
import { until } from '../conformance/until.ts'
import { sendSignal } from './enclosure.ts'

/**
 * Processes of the cluster with this state directory, by the variable that they inherit; containers have it not. `program`
 * is the name they were called by, such as `kube-apiserver`. Without zombies.
 */
export async function markedProcesses(directory: string, program?: string): Promise<readonly number[]> {
  return processesWith(`KUBERNETES_STATE=${directory}`, program)
}

/** Processes that have this variable in their environment. */
export async function processesWith(variable: string, program?: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((each) => /^\d+$/.test(each))
  const read = (pid: string, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
  const found = await Promise.all(
    pids.map(async (pid) => {
      if (!(await read(pid, 'environ')).split('\0').includes(variable)) return false
      return program === undefined || basename((await read(pid, 'cmdline')).split('\0')[0] ?? '') === program
    }),
  )
  return pids.filter((_, index) => found[index]).map(Number)
}

/** Whether it holds nothing any more: it is gone, or a zombie without other threads. */
export async function hasEnded(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  if (threads.length !== 1) return threads.length === 0
  return /^State:\s+[ZX]/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State: X'))
}

/** Kills what `find` finds, again and again, until nothing is found and all that was found has ended. */
export async function killAll(what: string, find: () => Promise<readonly number[]>): Promise<void> {
  let left: readonly number[] = []
  await until(
    `no ${what} is left`,
    async () => {
      const found = await find()
      for (const pid of found) sendSignal(pid, 'SIGKILL')
      const all = [...new Set([...left, ...found])]
      const ended = await Promise.all(all.map(hasEnded))
      left = all.filter((_, index) => !ended[index])
      return (found.length === 0 && left.length === 0) || undefined
    },
    () => left,
    30_000,
  )
}
