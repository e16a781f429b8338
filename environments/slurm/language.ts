import type { BatchReferenceOptions } from '../../src/environment/batch/reference-options.ts'
import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on a Slurm cluster. */
export interface SlurmReferenceOptions extends BatchReferenceOptions {
  /** Which partition, or several of which Slurm takes the first that has room: `'short,long'`. */
  readonly partition?: string
  readonly account?: string
  readonly qos?: string
  /** Graphics processors of a job that asks for none itself. */
  readonly gpus?: number
  /** Generic resources besides `gpus`: `'gpu:a100:2'`. */
  readonly gres?: string | readonly string[]
  /** Nodes of a job that asks for none itself. */
  readonly nodes?: number
  readonly tasks?: number
  /** Features that nodes must have. */
  readonly constraint?: string | readonly string[]
  readonly reservation?: string
  readonly wckey?: string
  /** Whether jobs have their nodes for themselves. */
  readonly exclusive?: boolean
  /** Talks to slurmrestd instead of running commands. Its token belongs to a named environment. */
  readonly rest?: {
    /** `http://head:6820`; needed unless there is a socket. */
    readonly url?: string
    /** Absolute path of slurmrestd's unix socket on the server's own computer. */
    readonly socket?: string
    /** `v0.0.36` to `v0.0.44`, as slurmrestd has it. */
    readonly apiVersion: string
    readonly user?: string
  }
}

/** A Slurm cluster, for `.on(slurm({ host: 'login.example.org', partition: 'short', time: '2 h' }))`. */
export function slurm({ name, ...options }: SlurmReferenceOptions = {}): EnvironmentReference {
  return { kind: 'slurm', ...(name === undefined ? {} : { name }), options }
}
