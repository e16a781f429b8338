import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process'
import { Writable, type Readable } from 'node:stream'
import type { JobBoxes, JobLimits } from '../../src/environment/plugin.ts'
import { jobScript, launcherScript, limitScript, signalScript, sweepScript } from './launcher-script.ts'

/** How a job that a launcher ran came to its end. */
export type LauncherEnding =
  | { readonly kind: 'exited'; readonly exitCode: number }
  | { readonly kind: 'signalled'; readonly signal: number }

/** Who wants to know what becomes of the one job that runs. */
export interface LauncherJob {
  started(pid: number): void
  ended(ending: LauncherEnding): void
}

export interface LauncherOptions {
  /** Directory of the job directories. */
  readonly directory: string
  readonly variables: Readonly<Record<string, string>>
  /** The shell runs in a box where these say that one may hold many jobs. */
  readonly boxes?: JobBoxes
  /** Of each job. */
  readonly limits: JobLimits
  /** A word that no job can guess; answers start with it. */
  readonly secret: string
  /** Told once when the shell is gone, after everything it said was read. */
  readonly gone: (launcher: Launcher, message: string) => void
}

const remembered = 2000
/** How long the pipes of a killed shell may stay open. */
const pipesGraceMs = 2000

/** A persistent shell that runs one job after the other, so that the server itself never starts a process per job. */
export class Launcher {
  readonly pid: number | undefined
  /** Settles when the shell can take jobs; rejects when it never will. */
  readonly ready: Promise<void>
  readonly #child: ChildProcess
  readonly #input: Writable
  /** Takes the signals for jobs in the box of this shell: their process ids mean nothing out here. */
  readonly #signals: Writable | undefined
  readonly #secret: string
  readonly #closed: Promise<void>
  #job: LauncherJob | undefined
  #rest = ''
  #notices = ''
  #noticed = false
  #settleReady: { resolve: () => void; reject: (error: Error) => void } | undefined

  constructor(options: LauncherOptions) {
    this.#secret = options.secret
    // A session of its own: Ctrl-C in the server's terminal is the server's to handle.
    const { directory, boxes } = options
    const shell = ['bash', '--noprofile', '--norc', '-s']
    const isBoxed = boxes?.isPerJob === false
    const [program = '', ...words] = isBoxed
      ? boxes.command(shell, { directory, readOnly: [], readWrite: [directory] })
      : shell
    const child = spawn(program, words, {
      cwd: directory,
      env: { ...options.variables },
      stdio: ['pipe', 'pipe', 'pipe', isBoxed ? 'pipe' : 'ignore'],
      detached: true,
    }) as ChildProcessByStdio<Writable, Readable, Readable>
    this.#child = child
    this.#input = child.stdin
    const signals = child.stdio[3]
    if (signals instanceof Writable) this.#signals = signals.on('error', ignore)
    this.pid = child.pid
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject }
    })
    this.ready.catch(ignore)
    let spawnError: Error | undefined
    child.on('error', (error) => (spawnError = error))
    child.stdin.on('error', ignore)
    this.#read(child.stdout)
    this.#closed = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        const how = signal === null ? `exit code ${String(code)}` : `signal ${signal}`
        const message =
          spawnError?.message ?? [`The launcher shell ended (${how}).`, this.#notices.trim()].join(' ')
        this.#settleReady?.reject(new Error(message))
        resolve()
        options.gone(this, message.trim())
      })
    })
    this.#input.write(
      `exec 2>&1\n${isBoxed ? signalScript + sweepScript : ''}${limitScript(options.limits)}${launcherScript(directory, options.secret)}`,
    )
  }

  /** Runs one job. The caller waits for its end before it gives the next one. */
  run(id: string, directoryName: string, text: string, job: LauncherJob): void {
    this.#job = job
    this.#noticed = false
    this.#input.write(jobScript(id, directoryName, text))
  }

  /** Sends a signal to the process group of the job with this process id. */
  signal(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#signals !== undefined) {
      this.#signals.write(`${signal} ${pid}\n`)
      return
    }
    try {
      process.kill(-pid, signal)
    } catch {
      // The group ended by itself; the shell's answer is on its way.
    }
  }

  /** Ends the idle shell; kills it when it has not gone after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    this.#input.end()
    this.#signals?.end()
    const timer = setTimeout(() => this.#kill(), graceMs)
    await this.#closed
    clearTimeout(timer)
  }

  /** Kills the shell with its group: a box that is still being made consists of several processes. */
  #kill(): void {
    try {
      if (this.pid !== undefined) process.kill(-this.pid, 'SIGKILL')
    } catch {
      this.#child.kill('SIGKILL')
    }
    // Whoever else holds the pipes, nobody waits for them.
    setTimeout(() => {
      for (const stream of this.#child.stdio) stream?.destroy()
    }, pipesGraceMs).unref()
  }

  #read(stream: Readable): void {
    stream.setEncoding('utf8')
    stream.on('error', ignore)
    stream.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = (lines.pop() ?? '').slice(-remembered)
      for (const line of lines) this.#take(line)
    })
  }

  #take(line: string): void {
    if (!line.startsWith(this.#secret)) {
      this.#noticed ||= !exitNotice.test(line)
      this.#notices = `${this.#notices}${line}\n`.slice(-remembered)
      return
    }
    const [verb, ...words] = line.slice(this.#secret.length + 1).split(' ')
    if (verb === 'started') this.#job?.started(Number(words[0]))
    else if (verb === 'ended') this.#end(Number(words[0]))
    else if (verb === 'ready') this.#settleReady?.resolve()
    else if (verb === 'unusable') this.#settleReady?.reject(new Error(words.join(' ')))
  }

  #end(code: number): void {
    const job = this.#job
    this.#job = undefined
    // A code above 128 is a signal only if bash said so. A job that was stopped and continued by hand also makes bash
    // speak: should such a job then exit with a code above 128, it counts as ended by a signal.
    const isSignal = code > 128 && this.#noticed
    job?.ended(isSignal ? { kind: 'signalled', signal: code - 128 } : { kind: 'exited', exitCode: code })
  }
}

/** What bash says, when it is asked, of a job that exited by itself. */
const exitNotice = /^\[\d+\][+-]? +Exit \d+ /

function ignore(): void {
  // The end of the process is told by its `close` event.
}
