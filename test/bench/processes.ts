import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Linux tells times in ticks of USER_HZ, which is 100 on every architecture that Node runs on. */
const tickMs = 10

interface ProcessTimes {
  readonly pid: number
  readonly parent: number
  readonly ownMs: number
  /** Of children that have ended and were waited for, and of those they had waited for. */
  readonly reapedMs: number
}

/**
 * CPU (user and system) that a process and all its descendants have taken so far, in milliseconds. What a descendant
 * took before it ended is in the figures of the one that waited for it, so the sum never falls.
 */
export function treeCpuMs(root: number): number {
  const processes = allProcesses()
  const members = new Set([root])
  let size = 0
  while (size < members.size) {
    size = members.size
    for (const { pid, parent } of processes) if (members.has(parent)) members.add(pid)
  }
  return processes
    .filter(({ pid }) => members.has(pid))
    .reduce((sum, { ownMs, reapedMs }) => sum + ownMs + reapedMs, 0)
}

/** CPU (user and system) that the threads of a process have taken so far, in milliseconds, by their names. */
export function cpuMsByThread(pid: number): ReadonlyMap<string, number> {
  const threads = new Map<string, number>()
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const place = `${pid}/task/${thread}`
    const times = readTimes(place)
    if (times === undefined) continue
    const name = readFileSync(`/proc/${place}/comm`, 'utf8').trim()
    threads.set(name, (threads.get(name) ?? 0) + times.ownMs)
  }
  return threads
}

/** CPU of all children of this process that have ended, in milliseconds. */
export function reapedCpuMs(): number {
  return readTimes(process.pid)?.reapedMs ?? 0
}

/** CPU that the whole machine has spent on anything, in milliseconds. */
export function machineCpuMs(): number {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? ''
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/ +/).slice(1).map(Number)
  return (user + nice + system + irq + softirq) * tickMs
}

/** The most memory that a process has held at once since `forgetPeakMemory`. */
export function peakMemoryBytes(pid: number): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kibibytes ?? 0) * 1024
}

export function forgetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

function allProcesses(): ProcessTimes[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (readTimes(Number(name)) ?? []) : []))
}

/** See proc_pid_stat(5); the same is told of a thread, as PID/task/THREAD. Undefined when it has gone. */
function readTimes(place: number | string): ProcessTimes | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${place}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The name, in parentheses, may hold anything.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [parent = 0, utime = 0, stime = 0, cutime = 0, cstime = 0] = [1, 11, 12, 13, 14].map(
    (at) => fields[at],
  )
  return {
    pid: Number.parseInt(stat, 10),
    parent,
    ownMs: (utime + stime) * tickMs,
    reapedMs: (cutime + cstime) * tickMs,
  }
}
