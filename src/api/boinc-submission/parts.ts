import type { Catalog } from '../../catalog/contract.ts'
import type { OwnExecutions } from '../access/executions-of.ts'
import type { Authentication } from '../access/authentication.ts'
import type { Users } from '../../users/contract.ts'
import type { Quotas } from '../../users/quotas.ts'
import type { FileRules } from './input-files.ts'
import type { SubmissionStore } from './store.ts'

/** What the remote submission needs of the server. */
export interface SubmissionParts {
  readonly catalog: Catalog
  readonly authentication: Pick<Authentication, 'byKey'>
  readonly users: Pick<Users, 'find'>
  readonly quotas: Pick<Quotas, 'keep'>
  /** Of everybody: what a submitter sees of them is in `Submitter`. */
  readonly executions: OwnExecutions
  readonly store: SubmissionStore
  /** Where input files are gathered; on the file system of the executions. */
  readonly gatherDirectory: string
  /** Where the files lie that a user has uploaded. */
  readonly uploadDirectory: (owner: string) => string
  readonly files: FileRules
  /** Named environment of an app, where the operator has given it one. */
  readonly environments: ReadonlyMap<string, string>
  /** Jobs that run at the same time on this computer: for estimates. */
  readonly slots: number
  /** Most jobs of a batch. */
  readonly maxJobs: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly warn: (message: string) => void
}

/** The remote submission as one user sees it. */
export interface Submitter {
  readonly owner: string
  /** His own only. */
  readonly executions: OwnExecutions
}

/** What a request was sent with. */
export interface Credentials {
  readonly authenticator: string
  /** Which of the user's keys that is. */
  readonly keyId: string
}
