import type { Catalog } from '../../catalog/contract.ts'
import type { Authentication } from '../access/authentication.ts'
import type { Quotas } from '../../users/quotas.ts'
import type { Principal } from '../access/principal.ts'
import type { OwnExecutions } from '../access/executions-of.ts'
import { CaesarRefusal } from './answers.ts'
import type { DataSources } from './data-sources.ts'
import type { Jobs } from './jobs.ts'
import type { StoredFiles } from './stored-files.ts'
import type { StoredJobs } from './stored-jobs.ts'

/** What the routes of the dialect work with. */
export interface CaesarRooms {
  readonly executions: OwnExecutions
  readonly catalog: Catalog
  readonly files: StoredFiles
  readonly store: StoredJobs
  readonly jobs: Jobs
  readonly sources: DataSources
  readonly quotas: Pick<Quotas, 'keep'>
  readonly settings: CaesarSettings
  readonly authentication: Pick<Authentication, 'identify'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface CaesarSettings {
  readonly mount: `/${string}`
  /** `nested` tells inputs and outputs too, and is read by later clients only. */
  readonly describe: 'flat' | 'nested'
  /** Endings of files that may be uploaded, in small letters. */
  readonly fileTypes: readonly string[]
  readonly fileBytes: number
  /** Whether the token may come as `access_token` in the query string too. */
  readonly takesQueryToken: boolean
  /** Whether options that an app does not have are refused. */
  readonly isStrict: boolean
  /** Named environments of apps; the others run as the server runs all. */
  readonly environments: ReadonlyMap<string, string>
}

/** Whose things a principal sees: undefined for all, which is the operator's. */
export function visibleOwner(principal: Principal): string | undefined {
  return principal.kind === 'operator' ? undefined : nameOf(principal)
}

/** What a principal is called in messages. */
export function nameOf(principal: Principal): string {
  return principal.kind === 'user' ? principal.name : principal.kind
}

export function fileUnknown(id: string): CaesarRefusal {
  return new CaesarRefusal(404, `File with uuid ${short(id)} not found on the system!`)
}

/** For a message: what a client has sent, not longer than a line. */
export function short(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}
