import type { Context } from '../workflow/context.ts'

/** Names inside the job directory of function calls that run elsewhere than on the server. */
export const callPlaces = {
  node: '.molehill/node',
  runtime: '.molehill/runtime',
  modules: '.molehill/modules',
  calls: '.molehill/calls.json',
  outcomes: '.molehill/outcomes',
  /** How long each call took, which differs each time. */
  times: '.molehill/times',
  /** A directory for each call, by the number of its job. */
  results: '.molehill/results',
  /** Files that other jobs have made, as below the execution's directory of files. */
  inputs: '.molehill/inputs',
} as const

/** What a process elsewhere is to call. File values are paths relative to the job directory. */
export interface RemoteCalls {
  readonly script: string
  readonly functionName: string
  readonly timeoutMs: number | null
  readonly calls: readonly { readonly job: number; readonly inputs: Context }[]
  readonly fileInputs: readonly string[]
  readonly fileOutputs: readonly string[]
  /** Directories on the server, of which returned file values are to speak. */
  readonly server: { readonly workDirectory: string; readonly filesDirectory: string }
}
