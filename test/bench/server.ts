import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openMolehill, type Molehill } from './molehill.ts'
import { measure, type Cost } from './measure.ts'
import { cpuMsByThread, forgetPeakMemory, peakMemoryBytes, treeCpuMs } from './processes.ts'

/** How many jobs, calls or processes every contender may run at the same time. */
export const parallelism = 2

const commandLine = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const keptLogCharacters = 20_000
const lookMs = 50

/** A running `molehill serve` with a data directory of its own. */
export interface BenchServer extends AsyncDisposable {
  readonly dataDirectory: string
  readonly url: string
  readonly molehill: Molehill
  /** Measures the server and everything it starts while `work` goes on. */
  readonly measure: (work: () => Promise<void>) => Promise<Cost>
  /** CPU of its main process so far, in milliseconds by names of threads. */
  readonly cpuByThread: () => ReadonlyMap<string, number>
}

/** What a server is to be like, besides what all of them are. */
export interface BenchServerWishes {
  readonly flags?: readonly string[]
  /** Puts there what the server is to find when it starts. */
  readonly prepare?: (dataDirectory: string) => Promise<void>
}

/** @param profileDirectory where V8 writes CPU profiles of the server's threads when it ends, if they are wanted */
export async function startServer(
  profileDirectory: string | undefined,
  { flags: wished = [], prepare }: BenchServerWishes = {},
): Promise<BenchServer> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-bench-'))
  const dataDirectory = join(directory, 'data')
  const passwordFile = join(directory, 'password')
  const password = 'correct horse battery staple'
  await writeFile(passwordFile, password, { mode: 0o600 })
  await prepare?.(dataDirectory)
  const profiling = profileDirectory === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileDirectory]
  const paths = ['--data-directory', dataDirectory, '--password-file', passwordFile]
  const flags = ['--http', '--port', '0', '--slots', String(parallelism), '--log-format', 'json', ...wished]
  const child = spawn(process.execPath, [...profiling, commandLine, 'serve', ...paths, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-keptLogCharacters)))
  const pid = child.pid ?? 0
  const close = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const url = await readAddress(
      () => log,
      () => child.exitCode === null,
    )
    return {
      dataDirectory,
      url,
      molehill: await openMolehill(url, password),
      async measure(work) {
        forgetPeakMemory(pid)
        const cost = await measure(() => treeCpuMs(pid), work)
        return { ...cost, memoryBytes: peakMemoryBytes(pid) }
      },
      cpuByThread: () => cpuMsByThread(pid),
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function readAddress(log: () => string, isAlive: () => boolean): Promise<string> {
  for (;;) {
    const address = /"address":"([^"]+)"/.exec(log())?.[1]
    if (address !== undefined) return address
    if (!isAlive()) throw new Error(`The server did not start:\n${log()}`)
    await delay(lookMs)
  }
}
