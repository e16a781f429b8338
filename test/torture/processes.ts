import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** A process as nobody else can be: a number may be given again, but not at the same tick. */
export interface ProcessIdentity {
  readonly pid: number
  readonly parent: number
  readonly startedTicks: number
}

/** A process and all its descendants, itself first. */
export function processTree(root: number): readonly ProcessIdentity[] {
  const processes = allProcesses()
  const found = processes.filter(({ pid }) => pid === root)
  for (let at = 0; at < found.length; at += 1)
    found.push(...processes.filter(({ parent }) => parent === found[at]?.pid))
  return found
}

/** Those that are still there. What has ended and only waits to be read by its parent counts as gone. */
export function stillAlive(processes: readonly ProcessIdentity[]): readonly ProcessIdentity[] {
  return processes.filter(({ pid, startedTicks }) => readProcess(pid)?.startedTicks === startedTicks)
}

/** Processes whose command line names this text, such as a directory that only one server has. */
export function processesNaming(text: string): readonly number[] {
  return allProcesses()
    .map(({ pid }) => pid)
    .filter((pid) => pid !== process.pid && readCommandLine(pid).includes(text))
}

/** Processes that work in a directory or below it, or whose command line names it. */
export function processesIn(directory: string): readonly number[] {
  return allProcesses()
    .map(({ pid }) => pid)
    .filter(
      (pid) => readCommandLine(pid).includes(directory) || workingDirectoryOf(pid).startsWith(directory),
    )
    .filter((pid) => pid !== process.pid)
}

/** What a process was started with, shortened for people. */
export function commandLineOf(pid: number): string {
  return readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(-120)
}

/** Memory that a process holds now. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/status`))?.[1]
  return Number(kibibytes ?? 0) * 1024
}

export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

function allProcesses(): readonly ProcessIdentity[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (readProcess(Number(name)) ?? []) : []))
}

/** See proc_pid_stat(5). The name, in parentheses, may hold anything. */
function readProcess(pid: number): ProcessIdentity | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  const [state = 'X', parent = '0', ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (stat === '' || state === 'Z' || state === 'X') return undefined
  return { pid, parent: Number(parent), startedTicks: Number(rest[17]) }
}

function readCommandLine(pid: number): string {
  return readText(`/proc/${pid}/cmdline`)
}

function workingDirectoryOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
