import type { Rush } from './contact-delay.ts'

/** What the answer to a host needs besides the tables. */
export interface DeskSurroundings {
  /** The account that an authenticator is the key of. */
  readonly accountOf: (authenticator: string) => number | undefined
  /** Whether a client with this code signing key takes our programs, or will once it has the answer. */
  readonly trustsKey: (held: string) => boolean
  /** The project has another address from now on: nothing new begins here. */
  readonly isMoved: boolean
  readonly now: number
  /** 0 to 1. */
  readonly random: () => number
  /** 32 hex digits that nobody can guess. */
  readonly secret: () => string
  readonly rush: Rush
}
