import type { Host, HostCommand, HostProcess, HostResult } from '../host.ts'
import type { SshConnection } from './connection.ts'

/** A computer behind SSH, as one environment sees it; others may use the same connection. */
export class SshHost implements Host {
  readonly name: string
  readonly sharesFiles: boolean
  readonly #connection: SshConnection
  readonly #leave: () => Promise<void>
  #left: Promise<void> | undefined

  constructor(connection: SshConnection, sharesFiles: boolean, leave: () => Promise<void>) {
    this.name = connection.name
    this.sharesFiles = sharesFiles
    this.#connection = connection
    this.#leave = leave
  }

  run(command: HostCommand, signal: AbortSignal): Promise<HostResult> {
    return this.#connection.run(command, signal)
  }

  open(argv: readonly string[], signal: AbortSignal): Promise<HostProcess> {
    return this.#connection.open(argv, signal)
  }

  tryAgain(): void {
    this.#connection.tryAgain()
  }

  /** Lets go of the connection; the last one who does ends it. */
  close(): Promise<void> {
    this.#left ??= this.#leave()
    return this.#left
  }
}
