import { spawn, type ChildProcess } from 'node:child_process'
import { guardScript } from './launcher-script.ts'

/** A shell that outlives a killed server just long enough to end its launchers and, through them, their jobs. */
export class Guard {
  readonly #child: ChildProcess
  readonly #closed: Promise<void>

  constructor(variables: Readonly<Record<string, string>>, gone: () => void) {
    const child = spawn('bash', ['--noprofile', '--norc', '-c', guardScript, 'molehill-guard'], {
      env: { ...variables },
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#child = child
    child.on('error', ignore)
    child.stdin.on('error', ignore)
    this.#closed = new Promise((resolve) => {
      child.on('close', () => {
        resolve()
        gone()
      })
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  watch(pid: number | undefined): void {
    if (pid !== undefined) this.#child.stdin?.write(`add ${pid}\n`)
  }

  forget(pid: number | undefined): void {
    if (pid !== undefined) this.#child.stdin?.write(`drop ${pid}\n`)
  }

  /** Ends the guard; kills it when it has not gone after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    this.#child.stdin?.end('end\n')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs)
    await this.#closed
    clearTimeout(timer)
  }
}

function ignore(): void {
  // The end of the process is told by its `close` event.
}
