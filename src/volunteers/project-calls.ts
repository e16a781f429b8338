import type { NotYet, Sameness } from '../environment/sameness.ts'
import type { ArchivePair, VolunteerHost, Workunit, WorkunitProgress } from '../environment/volunteers.ts'
import type { ProblemCode } from '../problem.ts'
import type { DownloadFile, ProjectStatistics, UploadFile } from './contract.ts'

/** What is asked of the thread that owns the project, and what it answers. All of it is plain data. */
export type ProjectCall =
  // Texts cross threads for a fraction of what bytes cost, which bring the whole memory along that they lie in.
  | { readonly kind: 'exchange'; readonly text: string }
  | { readonly kind: 'file'; readonly workunits: readonly Workunit[] }
  | { readonly kind: 'progress' | 'cancel' | 'remove'; readonly names: readonly string[] }
  | { readonly kind: 'download' | 'upload'; readonly name: string }
  | { readonly kind: 'uploaded'; readonly name: string; readonly bytes: number; readonly md5: string }
  | { readonly kind: 'hosts'; readonly limit: number }
  | { readonly kind: 'refusals' }
  | { readonly kind: 'user-statistics' | 'host-statistics'; readonly after: number; readonly limit: number }

export interface ProjectAnswers {
  readonly exchange: string
  readonly file: undefined
  readonly progress: readonly (readonly [string, WorkunitProgress])[]
  readonly cancel: undefined
  readonly remove: undefined
  readonly download: DownloadFile | undefined
  readonly upload: UploadFile | undefined
  readonly uploaded: undefined
  readonly hosts: readonly VolunteerHost[]
  readonly refusals: number
  readonly 'user-statistics': ProjectStatistics['users']
  readonly 'host-statistics': ProjectStatistics['hosts']
}

export type ProjectAnswer = ProjectAnswers[keyof ProjectAnswers]

/** What came of a call: told when its transaction is on the disk. */
export type CallOutcome =
  | { readonly kind: 'answered'; readonly answer: ProjectAnswer }
  | { readonly kind: 'refused'; readonly code: ProblemCode; readonly message: string; readonly hint?: string }

/** From the server to the thread. */
export type ThreadRequest =
  | { readonly kind: 'calls'; readonly first: number; readonly calls: readonly ProjectCall[] }
  | {
      readonly kind: 'compared'
      readonly number: number
      readonly sameness: Sameness | NotYet
    }
  | { readonly kind: 'close' }

/** From the thread to the server. */
export type ThreadReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'not-opened'; readonly outcome: CallOutcome & { kind: 'refused' } }
  | { readonly kind: 'outcomes'; readonly outcomes: readonly (readonly [number, CallOutcome])[] }
  | { readonly kind: 'compare'; readonly number: number; readonly pair: ArchivePair }
  | { readonly kind: 'changed'; readonly names: readonly string[] }
  | { readonly kind: 'warning'; readonly message: string }
