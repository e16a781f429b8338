import type { BatchReferenceOptions } from '../../src/environment/batch/reference-options.ts'
import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on an HTCondor pool. */
export interface CondorReferenceOptions extends BatchReferenceOptions {
  /** Graphics processors of a job that asks for none itself. */
  readonly gpus?: number
  /** An expression that a machine must meet: `'OpSysAndVer == "Debian12"'`. */
  readonly requirements?: string
  readonly accountingGroup?: string
  /** Whether HTCondor may look for a way to bring files where none are shared; jobs need shared files. */
  readonly shouldTransferFiles?: 'NO' | 'IF_NEEDED'
}

/** An HTCondor pool, for `.on(condor({ host: 'submit.example.org', requirements: 'Memory > 4000' }))`. */
export function condor({ name, ...options }: CondorReferenceOptions = {}): EnvironmentReference {
  return { kind: 'condor', ...(name === undefined ? {} : { name }), options }
}
