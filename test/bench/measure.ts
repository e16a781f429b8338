import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { machineCpuMs, reapedCpuMs } from './processes.ts'

/** What one run cost. */
export interface Cost {
  /** User and system time of all processes involved. */
  readonly cpuMs: number
  readonly wallMs: number
  /** Cores that programs which have nothing to do with the run kept busy meanwhile. */
  readonly othersCores: number
  /** The most memory that the server's main process held. */
  readonly memoryBytes?: number
}

/** One way to do the work. Throws when the result is wrong. */
export interface Contender {
  readonly name: string
  readonly run: (count: number) => Promise<Cost>
}

export interface Workload {
  readonly title: string
  /** What one of `count` is called. */
  readonly unit: string
  readonly count: number
  /** Whether a run with a count of 1 is measured as well, to tell the start from what each one costs. */
  readonly hasStart: boolean
  readonly contenders: readonly Contender[]
  /** Name of the contender that the others are compared with. */
  readonly yardstick: string
}

/** @param cpuMs reads the CPU that the processes involved have taken so far */
export async function measure(cpuMs: () => number, work: () => Promise<void>): Promise<Cost> {
  const before = { cpu: cpuMs(), own: process.cpuUsage(), machine: machineCpuMs(), at: performance.now() }
  await work()
  const wallMs = performance.now() - before.at
  const own = process.cpuUsage(before.own)
  const cost = cpuMs() - before.cpu
  const othersMs = machineCpuMs() - before.machine - cost - (own.user + own.system) / 1000
  return { cpuMs: cost, wallMs, othersCores: Math.max(0, othersMs / wallMs) }
}

/** Measures a command from its start to its end and returns what it printed. Throws when it fails. */
export async function measureCommand(
  [file = '', ...words]: readonly string[],
  directory: string,
  input = '',
): Promise<{ cost: Cost; printed: string }> {
  let printed = ''
  const cost = await measure(reapedCpuMs, async () => {
    const child = spawn(file, words, { cwd: directory, stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
    const [code] = (await once(child, 'close')) as [number | null]
    if (code !== 0) throw new Error(`${file} ended with exit code ${code}.`)
  })
  return { cost, printed }
}
