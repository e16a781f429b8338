import type { Capabilities, CheckFinding, KnownHost } from '../environment/environment.ts'
import type { Evaluation } from '../script/contract.ts'
import type { Plan } from '../workflow/plan.ts'

/** All executions of a data directory. What API and command line see of the engine. */
export interface Executions {
  /**
   * Starts an execution and answers with its id when it is committed. `fill` puts the work directory's files into
   * the fresh directory that it makes at the path it is given. When anything goes wrong nothing stays behind.
   * Throws Problem: idempotency-busy, idempotency-conflict, whatever `fill` throws, script-missing, script-invalid, workflow-invalid, inputs-invalid, disk-full.
   */
  start(request: StartRequest): Promise<string>
  /** Evaluates a script as `start` does, checks inputs that are given, answers with the plan, and runs nothing. */
  validate(request: StartRequest): Promise<Plan>
  /** Where an execution stands. Costs the same however many jobs there are. Throws Problem execution-unknown. */
  state(id: string): ExecutionState
  /** Resolves when the execution has ended, with its last state. */
  ended(id: string, signal: AbortSignal): Promise<ExecutionState>
  /** What display hooks and tasks have written; head and tail where it was too much. */
  output(id: string): Promise<string>
  /**
   * What jobs print that run now, which is in `output` when they have ended: some of them, those that were begun first,
   * and the end of it. None of environments that cannot tell.
   */
  printing(id: string): Promise<readonly Printing[]>
  /** The work directory, for listing and download. */
  workDirectory(id: string): string
  jobs(id: string, query: JobQuery): JobPage
  /**
   * The execution's events after the one with sequence `after`, oldest first, as they are committed. Ends when the
   * execution is over and all have been given, or when the signal aborts.
   */
  events(id: string, after: number, signal: AbortSignal): AsyncIterable<ExecutionEvent>
  /** Why a job is where it is and what it waits for; for every unfinished capsule where no job is named. */
  explain(id: string, job?: number): readonly Explanation[]
  /** Asks an execution to stop. Files, output and counts stay. Resolves when no process of it is left. */
  cancel(id: string): Promise<void>
  /** Cancels an execution and deletes all of it. */
  remove(id: string): Promise<void>
  /** What is kept of an execution, from memory. Throws Problem execution-unknown. */
  summary(id: string): ExecutionSummary
  /** In the order in which they were started. Looks only at those that have the owner and the labels asked for. */
  list(query?: ExecutionQuery): readonly ExecutionSummary[]
  /** Bytes of all files of an execution. Costs a look at each while it runs, and at the first question after that. */
  storedBytes(id: string): Promise<number>
  /** Says that a user may have more or fewer jobs running than before. */
  lookAgain(owner: string): void
  /** How many executions wait for others to end. */
  readonly queueLength: number
  /** The places where jobs run. */
  readonly environments: Environments
  /** Stops taking work and commits what is known; unfinished executions go on at the next start. */
  close(): Promise<void>
}

export type StartRequest = {
  /** Path of the script in the work directory. */
  readonly script: string
  readonly signal: AbortSignal
  /** What the execution is called; else after the script. */
  readonly name?: string
  /** The named environment for jobs that the script leaves on this machine. */
  readonly environment?: string
  /** What a described workflow is started with, by name; files as paths in the work directory. */
  readonly inputs?: Readonly<Record<string, unknown>>
  /** Name of the user whose it is; without, it is the operator's. */
  readonly owner?: string
  /** Kept with the execution, which can be found by them. As in `{'caesar.run': 'r1'}`. */
  readonly labels?: Readonly<Record<string, string>>
  /**
   * A key the client chose for this start, and a digest of all it sent. The same again of the same owner within a day
   * gives the same execution; the same key with another digest is refused.
   */
  readonly idempotency?: { readonly key: string; readonly digest: string }
} &
  /** May answer with what the script says, where that is known of these very files: then it is not read again. */
  (
    | { readonly fill: (workDirectory: string) => Promise<Evaluation | void> }
    /** An absolute path of a directory that is used as it stands and is never deleted. */
    | { readonly directory: string }
  )

/** What a job has printed so far that runs. */
export interface Printing {
  /** Id of the job; of the first one where several are one environment job. */
  readonly job: number
  /** `model[3]` */
  readonly subject: string
  readonly text: string
}

/** Something that happened to an execution. Sequences rise by one and never change, also across a restart. */
export interface ExecutionEvent {
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly time: number
  readonly kind: string
  readonly data: Readonly<Record<string, unknown>>
}

/** An answer to the question why something has not ended. */
export interface Explanation {
  /** A capsule, or a job as `capsule[ticket]`. */
  readonly subject: string
  readonly state: JobState
  /** A whole sentence, or several. */
  readonly reason: string
}

export interface JobCounts {
  /** Waiting, those included that an exploration has yet to make. */
  readonly ready: number
  readonly running: number
  readonly completed: number
  readonly failed: number
}

export interface ExecutionState extends ExecutionSummary {
  readonly counts: JobCounts
  readonly capsules: readonly ({ readonly name: string } & JobCounts)[]
  /** In the order of the plan, the default `local` last. */
  readonly environments: readonly EnvironmentState[]
  /** Why the execution failed. */
  readonly error?: { readonly message: string; readonly stackTrace?: string }
}

/** Label by which executions of one owner are put in order: a number, larger is sooner. */
export const priorityLabel = 'priority'

/** Executions that have all of it. */
export interface ExecutionQuery {
  readonly owner?: string
  readonly labels?: Readonly<Record<string, string>>
}

export interface ExecutionSummary {
  readonly id: string
  /** Name of the user whose it is; empty for the operator. */
  readonly owner: string
  readonly labels: Readonly<Record<string, string>>
  /** Name of the workflow. */
  readonly name: string
  readonly script: string
  readonly state: 'running' | 'finished' | 'failed'
  /** Whether somebody asked for it to stop. A cancelled execution ends as `failed`. */
  readonly isCancelled: boolean
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly endedAt: number | null
}

/** Environment jobs, of which one may hold a group of jobs. */
export interface EnvironmentState {
  readonly name: string
  readonly kind: string
  readonly ready: number
  readonly submitted: number
  readonly running: number
  readonly done: number
  readonly failed: number
  /** The latest ones, oldest first, at most 200. */
  readonly errors: readonly EnvironmentFault[]
}

export interface EnvironmentFault {
  /** Grows by one with each error of the execution. */
  readonly sequence: number
  readonly message: string
  readonly stackTrace: string
  /** A name of java.util.logging, as OpenMOLE sends: SEVERE, WARNING, INFO. */
  readonly level: 'SEVERE' | 'WARNING' | 'INFO'
  readonly time: number
}

export type JobState = 'ready' | 'submitted' | 'running' | 'completed' | 'failed' | 'cancelled'

export interface JobQuery {
  readonly capsule?: string
  readonly state?: JobState
  /** Id of the last job of the page before. */
  readonly after?: number
  /** At most 1000. */
  readonly limit: number
}

export interface JobPage {
  /** By id, rising. Jobs that an exploration has yet to make are not listed. */
  readonly jobs: readonly JobRow[]
  /** What to ask `after` for the next page, or null at the end. */
  readonly next: number | null
}

export interface JobRow {
  readonly id: number
  readonly capsule: string
  /** Sample numbers of the explorations the job lies inside of, outermost first, joined by dots. */
  readonly ticket: string
  readonly state: JobState
  readonly attempts: number
  readonly environment: string
  readonly exitCode: number | null
  readonly readyAt: number | null
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly error: string | null
}

/** The environments of a server: those with names, and those that executions have described and use. */
export interface Environments {
  /** Kinds that there are, each with the names of its options that are secret. */
  readonly kinds: readonly { readonly kind: string; readonly secrets: readonly string[] }[]
  list(): Promise<readonly EnvironmentDescription[]>
  /**
   * Keeps an environment under a name. Says whether executions use the one that it replaces: they do so until the
   * server starts again. Throws Problem: parameter-invalid, environment-conflict, configuration-invalid where secrets
   * cannot be kept.
   */
  add(definition: EnvironmentDefinition): Promise<{ readonly isInUse: boolean }>
  /** Looks at all that jobs need there. Throws Problem environment-unknown. */
  check(name: string, signal: AbortSignal): Promise<readonly CheckFinding[]>
  /** Forgets a named environment. Throws Problem environment-unknown, and environment-conflict while it is in use. */
  remove(name: string): Promise<void>
}

export interface EnvironmentDefinition {
  readonly name: string
  readonly kind: string
  /** Those that may be shown. */
  readonly options: Readonly<Record<string, unknown>>
  /** Those that may not. */
  readonly secrets: Readonly<Record<string, string>>
  /** Whether an environment of this name may be there already. */
  readonly isReplacing: boolean
}

/** What may be told of an environment: no secret. */
export interface EnvironmentDescription {
  readonly name: string
  readonly kind: string
  /** Whether scripts may refer to it by its name. */
  readonly isNamed: boolean
  readonly options: Readonly<Record<string, unknown>>
  /** Names of the options that are kept encrypted. */
  readonly secrets: readonly string[]
  /** Absent until it is used or checked. */
  readonly capabilities: Capabilities | undefined
  readonly health: EnvironmentHealth
  /** Of all executions under way, and of those that ended since the server has started. */
  readonly jobs: Pick<EnvironmentState, 'ready' | 'submitted' | 'running' | 'done' | 'failed'>
  /** Computers that come to it by themselves, the last heard first; absent where none do. */
  readonly hosts?: readonly KnownHost[]
}

export interface EnvironmentHealth {
  readonly state: 'good' | 'bad' | 'unknown'
  /** What the latest check has found, why nothing goes on there now, or that jobs were heard of. */
  readonly message: string
  /** When that was, in milliseconds since 1970. */
  readonly checkedAt: number | undefined
}
