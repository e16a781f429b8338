import type { Accounts } from '../../volunteers/accounts.ts'
import type { Volunteers } from '../../volunteers/contract.ts'
import type { UploadKey } from '../../volunteers/protocol/signatures.ts'
import type { ReplySettings } from '../../volunteers/protocol/write-reply.ts'
import type { OlderUploadKey } from '../../volunteers/upload-keys.ts'
import type { RequestLimiter } from '../access/request-limiter.ts'
import type { VolunteerLimits } from './volunteer-limits.ts'

/** What the routes for volunteers' hosts work on. */
export interface VolunteerParts {
  readonly volunteers: Volunteers
  readonly accounts: Accounts
  readonly settings: ReplySettings
  /** What upload certificates are made with. */
  readonly uploadKey: UploadKey
  readonly olderUploadKeys: readonly OlderUploadKey[]
  /** Who may make an account himself: anybody, who has an invitation, or nobody. */
  readonly joining: 'open' | 'invited' | 'closed'
  /** Kinds of computers that work is for, by BOINC's names, and what they are called. */
  readonly platforms: Readonly<Record<string, string>>
  /** Largest file that a host may send. */
  readonly uploadBytes: number
  /** Longest silence while a body is read. */
  readonly idleMs: number
  /** Throws Problem while the disk is too full to take anything. */
  readonly checkDisk: () => Promise<void>
  readonly limits: VolunteerLimits
  /** The account that a key is of, which may be gone. */
  readonly accountOf: (authenticator: string) => number | undefined
  /** Counts who looks for accounts or makes some, by address. */
  readonly accountTries: RequestLimiter
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly warn: (message: string) => void
}
