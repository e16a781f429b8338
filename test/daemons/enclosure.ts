import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { chmod, mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { runCommand, tryCommand, type CommandOptions, type CommandResult } from './run-command.ts'

export interface EnclosureOptions {
  /** A network of its own, with a loopback device only. Without: the machine's network. */
  readonly ownNetwork?: boolean
  /** A host name of its own. */
  readonly hostName?: string
  /** Shell lines that put back what was done outside; run when all inside is dead, also after the starter was killed. */
  readonly undo?: string
}

/**
 * Namespaces for daemons: processes (numbered from 1), mounts and, if wished, network and host name. Everything in there dies
 * with `stop()` or with this process, and nothing stays: no process, no mount, no file. Needs root on Linux.
 */
export class Enclosure {
  /** For states, logs and homes; short, so that sockets fit; readable by all; removed in the end. */
  readonly directory: string
  readonly #guard: ChildProcessWithoutNullStreams
  readonly #ended: Promise<void>
  readonly #first: number
  readonly #hasNetwork: boolean
  readonly #hasHostName: boolean

  private constructor(
    directory: string,
    guard: ChildProcessWithoutNullStreams,
    ended: Promise<void>,
    first: number,
    { ownNetwork = false, hostName }: EnclosureOptions,
  ) {
    this.directory = directory
    this.#guard = guard
    this.#ended = ended
    this.#first = first
    this.#hasNetwork = ownNetwork
    this.#hasHostName = hostName !== undefined
  }

  static async start(options: EnclosureOptions = {}): Promise<Enclosure> {
    const directory = await mkdtemp('/tmp/mh-')
    await chmod(directory, 0o755)
    if (options.undo !== undefined) await writeFile(join(directory, 'undo'), options.undo)
    const flags = [
      ...(options.ownNetwork ? ['--net'] : []),
      ...(options.hostName === undefined ? [] : ['--uts']),
    ]
    const guard = spawn('bash', [join(import.meta.dirname, 'enclosure.sh'), directory, ...flags], {
      cwd: '/',
      // a session of its own: Ctrl-C at the tests must not end the guard before it has cleaned up
      detached: true,
    })
    const said: string[] = []
    guard.stdin.on('error', () => {})
    guard.stderr.on('data', (chunk: Buffer) => said.push(String(chunk)))
    const ended = new Promise<void>((resolve, reject) => {
      guard.on('error', reject)
      guard.on('close', () => resolve())
    })
    const line = await Promise.race([firstLine(guard), ended.then(() => undefined)])
    if (line === undefined) {
      await rm(directory, { recursive: true, force: true })
      throw new Error(`no namespaces for daemons: ${said.join('')}`)
    }
    const enclosure = new Enclosure(directory, guard, ended, Number(line), options)
    if (options.ownNetwork) await enclosure.runOnNetwork(['ip', 'link', 'set', 'lo', 'up'])
    if (options.hostName !== undefined) await enclosure.run(['hostname', options.hostName])
    return enclosure
  }

  /** Before a command, as root: runs it inside. Its working directory is `/`. */
  get prefix(): readonly string[] {
    const spaces = [
      '--mount',
      '--pid',
      ...(this.#hasNetwork ? ['--net'] : []),
      ...(this.#hasHostName ? ['--uts'] : []),
    ]
    return ['nsenter', '--target', String(this.#first), ...spaces, '--']
  }

  /** Its first process, as numbered out here. */
  get firstProcess(): number {
    return this.#first
  }

  run(command: readonly string[], options: CommandOptions = {}): Promise<string> {
    return runCommand([...this.prefix, ...command], options)
  }

  try(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return tryCommand([...this.prefix, ...command], options)
  }

  /** Runs a program of this machine on the enclosure's network. */
  runOnNetwork(command: readonly string[], options: CommandOptions = {}): Promise<string> {
    return runCommand(['nsenter', '--target', String(this.#first), '--net', '--', ...command], options)
  }

  /** Starts a program that stays; what it prints goes to the end of `log`, a name in `directory`. */
  async launch(command: readonly string[], log: string, options: CommandOptions = {}): Promise<void> {
    const script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &'
    await this.run(['bash', '-c', script, 'launch', join(this.directory, log), ...command], options)
  }

  /** The processes inside by number out here, without the first one and without zombies; `name` as in /proc/PID/comm. */
  async processes(name?: string): Promise<readonly number[]> {
    const space = await readlink(`/proc/${this.#first}/ns/pid`).catch(() => undefined)
    if (space === undefined) return []
    const numbers = (await readdir('/proc')).filter((each) => /^\d+$/.test(each)).map(Number)
    const found = await Promise.all(numbers.map((pid) => isInside(pid, space, name)))
    return numbers.filter((pid, index) => found[index] && pid !== this.#first)
  }

  /** Sends a signal to all processes inside, or to those of one name. Tells how many there were. */
  async signal(signal: NodeJS.Signals, name?: string): Promise<number> {
    const pids = await this.processes(name)
    for (const pid of pids) sendSignal(pid, signal)
    return pids.length
  }

  /** Kills all processes inside, or those of one name, and whatever they started meanwhile; returns when they are gone. */
  async kill(name?: string): Promise<void> {
    await until(
      `no ${name ?? 'process'} is left`,
      async () => (await this.signal('SIGKILL', name)) === 0 || undefined,
      () => 'still there',
      30_000,
    )
  }

  /** The end of a log, for messages of errors. */
  async readLog(log: string): Promise<string> {
    const text = await readFile(join(this.directory, log), 'utf8').catch(() => '')
    return text.slice(-2000)
  }

  /** Ends all that is inside and removes what was left outside. */
  async stop(): Promise<void> {
    this.#guard.stdin.end()
    const timer = setTimeout(() => sendSignal(this.#first, 'SIGKILL'), 10_000)
    await this.#ended
    clearTimeout(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

async function isInside(pid: number, space: string, name: string | undefined): Promise<boolean> {
  try {
    if ((await readlink(`/proc/${pid}/ns/pid`)) !== space) return false
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    if (/^\d+ \(.*\) [ZX]/s.test(stat)) return false
    return name === undefined || stat.includes(`(${name.slice(0, 15)})`)
  } catch {
    return false
  }
}

async function firstLine(guard: ChildProcessWithoutNullStreams): Promise<string | undefined> {
  const lines = createInterface({ input: guard.stdout })
  try {
    for await (const line of lines) return line
    return undefined
  } finally {
    lines.close()
    guard.stdout.resume()
  }
}
