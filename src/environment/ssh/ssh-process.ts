import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

const remembered = 16_384

/** A running `ssh`. Its streams have error listeners; its end is told by `ended`. */
export interface SshProcess {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Settles when the process is gone and its streams are closed. Its code is null where a signal ended it. */
  readonly ended: Promise<number | null>
  /** The end of what stands on its error stream so far. */
  words(): string
  kill(): void
}

/** Starts `ssh` in a session of its own: it has no terminal to ask on, and no Ctrl-C of ours reaches it. */
export function startSsh(words: readonly string[], variables: Readonly<Record<string, string>>): SshProcess {
  const child = spawn('ssh', words, { env: variables, stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  let text = ''
  let problem: Error | undefined
  child.on('error', (error) => (problem = error))
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', ignore)
  child.stderr.on('data', (bytes: Buffer) => {
    text = (text + bytes.toString()).slice(-remembered)
  })
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    ended: new Promise((resolve) => child.on('close', (code) => resolve(code))),
    words: () => (problem === undefined ? text : `The program ssh cannot be started: ${problem.message}`),
    kill: () => {
      // With its group: a jump host is a second ssh.
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
      } catch {
        // Gone by itself.
      }
      child.stdout.destroy()
      child.stderr.destroy()
    },
  }
}

function ignore(): void {
  // The end of the process is told by its `close` event.
}
