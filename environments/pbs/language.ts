import type { BatchReferenceOptions } from '../../src/environment/batch/reference-options.ts'
import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on a cluster with PBS. */
export interface PbsReferenceOptions extends BatchReferenceOptions {
  /** Which PBS it is: `pbspro` for PBS Professional and OpenPBS. */
  readonly flavour: 'torque' | 'pbspro'
  readonly queue?: string
  readonly account?: string
  readonly project?: string
  /** Nodes of a job that asks for none itself. `cpus` and, with PBS Pro, `memory` are counted on each of them. */
  readonly nodes?: number
  /** Graphics processors of a job that asks for none itself. */
  readonly gpus?: number
}

/** A cluster with PBS, for `.on(pbs({ flavour: 'pbspro', host: 'login', queue: 'workq', time: '2 h' }))`. */
export function pbs({ name, ...options }: PbsReferenceOptions): EnvironmentReference {
  return { kind: 'pbs', ...(name === undefined ? {} : { name }), options }
}
