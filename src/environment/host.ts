import type { Readable, Writable } from 'node:stream'

/** A computer on which programs can be run: this one, or one behind SSH. */
export interface Host {
  /** For people: `this computer`, `alice@login.example.org`. */
  readonly name: string
  /** Whether a path names the same file there as on the server, so that nothing has to travel. */
  readonly sharesFiles: boolean

  /**
   * Runs a program to its end. Throws EnvironmentError when the host cannot be asked: unreachable, refused, cut off on
   * the way, or no answer in time. Then nobody knows whether the program ran; it may still be running.
   */
  run(command: HostCommand, signal: AbortSignal): Promise<HostResult>

  /**
   * Starts a program that is talked to for a long time, such as a shell that takes many commands. Throws as `run` does.
   * It ends when its input ends, when the signal aborts, and when the host is cut off.
   */
  open(argv: readonly string[], signal: AbortSignal): Promise<HostProcess>

  /** Has whoever asks next be answered by a new try, not by a failure of just now. Absent where there is none to wait for. */
  tryAgain?(): void

  /** Drops connections. What jobs the host runs goes on. */
  close(): Promise<void>
}

/** A program and its arguments: no shell reads them unless the program is one. */
export interface HostCommand {
  readonly argv: readonly string[]
  /** Added to the variables that the host gives by itself. */
  readonly variables?: Readonly<Record<string, string>>
  /** What the program reads from its standard input; nothing where absent. */
  readonly input?: string | Readable
  /** Where its standard output goes; into the result where absent. */
  readonly output?: Writable
  /** After this long without an end the host counts as not answering. Default: 60 s. */
  readonly timeoutMs?: number
  /** Who goes first where several wait for a host. Default: `normal`. */
  readonly priority?: HostPriority
}

/** Asking for an end is urgent, looking after news is background. */
export type HostPriority = 'urgent' | 'normal' | 'background'

export interface HostResult {
  /** Null when a signal ended the program; a host behind a shell gives 128 and the signal's number instead. */
  readonly exitCode: number | null
  /** Text of at most 64 MiB; more is an EnvironmentError. */
  readonly stdout: string
  /** The last 64 KiB. */
  readonly stderr: string
}

/** A program under way. Every stream has an `error` listener already. */
export interface HostProcess {
  readonly stdin: Writable
  readonly stdout: Readable
  /** Resolves once, with why it is over: the exit code, or what cut it off. */
  readonly ended: Promise<{ readonly exitCode: number | null; readonly message: string }>
}
