import type { BatchReferenceOptions } from '../../src/environment/batch/reference-options.ts'
import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on an SGE cluster. */
export interface SgeReferenceOptions extends BatchReferenceOptions {
  /** Which queue, or several of which SGE takes one: `'all.q,long.q'`. */
  readonly queue?: string
  readonly project?: string
  /** The parallel environment that gives several processors on one node; `smp` without it. */
  readonly parallelEnvironment?: string
  /** Resources as `-l` takes them: `'gpu=1'`. */
  readonly resources?: string | readonly string[]
}

/** A cluster with Sun Grid Engine or a successor, for `.on(sge({ host: 'login', queue: 'all.q', time: '2 h' }))`. */
export function sge({ name, ...options }: SgeReferenceOptions = {}): EnvironmentReference {
  return { kind: 'sge', ...(name === undefined ? {} : { name }), options }
}
