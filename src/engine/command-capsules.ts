import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CollectedFiles, JobHandle, JobId, JobRequest } from '../environment/environment.ts'
import { makeRequest } from '../job/command.ts'
import { groupRequests, splitGroup } from '../job/group.ts'
import type { Attempt, AttemptEnding, AttemptSource } from '../job/tracker.ts'
import type { PlanCapsule, PlanCommandTask } from '../workflow/plan.ts'
import { logBytes, logPaths, readEnding, readPrinted } from './command-jobs.ts'
import { taskInputs } from './function-jobs.ts'
import type { Job } from './job.ts'
import type { Run } from './run.ts'

/** At most this much of what one job prints goes into the execution's output; its own logs keep all. */
const printedBytes = 64 * 1024

type CommandCapsule = PlanCapsule & { readonly task: PlanCommandTask }

/** One environment job: the attempt and the jobs it stands for. */
interface EnvironmentJob {
  readonly id: JobId
  readonly capsule: CommandCapsule
  readonly environment: number
  readonly members: readonly { readonly job: Job; readonly request: JobRequest }[]
  readonly directory: string
  readonly attemptNumber: number
  submittedAt: number
  isRunning: boolean
}

/** A run's command tasks: makes attempts of its jobs for each environment, and jobs' ends of theirs. */
export class CommandCapsules {
  readonly #run: Run
  readonly #live = new Map<JobId, { readonly environment: number }>()

  constructor(run: Run) {
    this.#run = run
  }

  /** What an environment of the plan takes its work from. */
  source(environment: number): AttemptSource {
    const steps = this.#run.graph.steps
      .flatMap((step, index) =>
        step.kind === 'capsule' && step.task.kind === 'command' && step.environments.includes(environment)
          ? [index]
          : [],
      )
      .toReversed()
    return { take: (limit) => this.#take(steps, limit, environment) }
  }

  /** Asks every attempt under way to stop. */
  async cancelAll(): Promise<void> {
    const { trackers } = this.#run.resources
    for (const [index, tracker] of trackers.entries())
      await tracker.cancel(
        [...this.#live].filter(([, { environment }]) => environment === index).map(([id]) => id),
      )
  }

  /** Environment jobs that have not ended. */
  get live(): number {
    return this.#live.size
  }

  #take(steps: readonly number[], limit: number, environment: number): Attempt[] {
    const attempts: Attempt[] = []
    for (const step of steps) {
      const capsule = this.#run.capsuleAt(step)
      if (capsule.task.kind !== 'command') continue
      while (attempts.length < limit) {
        const jobs = this.#run.takeJobs(step, capsule.groupSize, capsule.groupSize)
        if (jobs.length === 0) break
        attempts.push(this.#makeAttempt({ ...capsule, task: capsule.task }, jobs, environment))
      }
    }
    return attempts
  }

  #makeAttempt(capsule: CommandCapsule, jobs: readonly Job[], environment: number): Attempt {
    this.#run.moves.prepared(jobs, environment)
    const { id: executionId, paths, now } = this.#run.resources
    const first = jobs[0]
    const attemptNumber = Math.max(...jobs.map(({ attempts }) => attempts))
    const id = `m${executionId.slice(0, 8)}-${first?.id ?? 0}-${attemptNumber}` as JobId
    const members = jobs.map((job) => {
      const context = {
        ...job.activation.context,
        ...taskInputs(capsule.task.inputs, job.activation.context),
      }
      return { job, request: makeRequest(`${id}-${job.id}` as JobId, capsule, context, paths) }
    })
    const alone = members.length === 1 ? members[0] : undefined
    const request =
      alone === undefined
        ? groupRequests(
            id,
            members.map((member) => member.request),
          )
        : { ...alone.request, id }
    const environmentJob: EnvironmentJob = {
      id,
      capsule,
      environment,
      members,
      attemptNumber,
      directory: join(paths.attemptsDirectory, id),
      submittedAt: now(),
      isRunning: false,
    }
    this.#live.set(id, { environment })
    return {
      request,
      directory: environmentJob.directory,
      submitting: async () => this.#submitting(environmentJob),
      moved: (state, handle) => this.#moved(environmentJob, state, handle),
      ended: async (ending) => this.#ended(environmentJob, ending),
    }
  }

  /** Where jobs outlive the server, the attempt is on the disk before the environment hears of it. */
  async #submitting(attempt: EnvironmentJob): Promise<void> {
    this.#run.moves.submitted(attempt.members.map(({ job }) => job))
    const tracker = this.#run.resources.trackers[attempt.environment]
    if (tracker?.environment.capabilities.survivesRestart !== true) return
    this.#write(attempt, 'submitting', undefined, null)
    await this.#run.journal.flushed()
  }

  #moved(attempt: EnvironmentJob, state: string, handle: JobHandle | undefined): void {
    const tracker = this.#run.resources.trackers[attempt.environment]
    if (tracker?.environment.capabilities.survivesRestart === true) this.#write(attempt, state, handle, null)
    if (state !== 'running' || attempt.isRunning) return
    attempt.isRunning = true
    this.#run.moves.running(
      attempt.members.map(({ job }) => job),
      attempt.environment,
    )
  }

  async #ended(attempt: EnvironmentJob, ending: AttemptEnding): Promise<void> {
    if (!attempt.isRunning) this.#moved(attempt, 'running', undefined)
    const { capsule, members, directory } = attempt
    const endings =
      members.length === 1
        ? members.map(({ job }) => ({ job, ending, directory }))
        : await this.#memberEndings(attempt, ending)
    let isFailed = false
    for (const each of endings) isFailed = !(await this.#endJob(capsule, each, attempt)) || isFailed
    this.#write(attempt, isFailed ? 'failed' : 'completed', undefined, describeEnding(ending))
    this.#run.left(attempt.environment, 1, isFailed ? 1 : 0)
    this.#live.delete(attempt.id)
    await rm(directory, { recursive: true, force: true })
    await this.#run.journal.flushed()
    this.#run.attemptEnded()
  }

  async #memberEndings(
    { members, directory }: EnvironmentJob,
    ending: AttemptEnding,
  ): Promise<{ job: Job; ending: AttemptEnding; directory: string }[]> {
    const results = await splitGroup(
      members.map(({ request }) => request),
      directory,
    )
    return members.map(({ job }, index) => {
      const result = results[index]
      if (result?.exitCode === undefined) return { job, ending: unfinished(ending), directory }
      const { exitCode, collected } = result
      return { job, ending: { kind: 'exited', exitCode, collected }, directory: result.directory }
    })
  }

  async #endJob(
    capsule: CommandCapsule,
    { job, ending, directory }: { job: Job; ending: AttemptEnding; directory: string },
    attempt: EnvironmentJob,
  ): Promise<boolean> {
    const { paths, display } = this.#run.resources
    const { result, exitCode, isEnvironmentsFault, isCancelled, collected } = await readEnding(
      capsule.task,
      ending,
      directory,
      { keepDirectory: join(paths.filesDirectory, String(job.id)), keepName: `files/${job.id}` },
    )
    if (collected !== undefined) {
      const printed = await readPrinted(collected, printedBytes)
      if (printed !== '') await display(printed)
      await this.#keepLogs(collected, `${job.id}.${attempt.attemptNumber}`)
    }
    job.exitCode = exitCode
    if (result.kind === 'outputs') {
      const completed = [{ job, outputs: result.outputs }]
      this.#run.complete(completed, await this.#run.displayTexts(capsule, completed))
      return true
    }
    if (isCancelled && this.#run.isStopping) this.#run.abandon(job)
    else {
      const isFinal = ending.kind === 'rejected'
      this.#run.fail([{ job, failure: { ...result, exitCode, isEnvironmentsFault, isFinal } }])
    }
    return false
  }

  async #keepLogs(collected: CollectedFiles, name: string): Promise<void> {
    const { logsDirectory } = this.#run.resources.paths
    const kept = logPaths(logsDirectory, name)
    for (const stream of ['stdout', 'stderr'] as const) {
      if (logBytes(collected[stream]) === 0) continue
      await mkdir(logsDirectory, { recursive: true })
      await rename(collected[stream], kept[stream])
    }
  }

  #write(attempt: EnvironmentJob, state: string, handle: JobHandle | undefined, ending: string | null): void {
    const { now } = this.#run.resources
    const isOver = ending !== null
    this.#run.journal.record([
      [
        'putAttempt',
        attempt.id,
        attempt.members[0]?.job.id ?? 0,
        attempt.attemptNumber,
        attempt.environment,
        state,
        handle === undefined ? null : JSON.stringify(handle),
        attempt.submittedAt,
        isOver ? now() : null,
        ending,
      ],
    ])
  }
}

function unfinished(ending: AttemptEnding): AttemptEnding {
  return ending.kind === 'exited'
    ? { kind: 'lost', message: 'its group ended before it' }
    : { ...ending, ...(ending.kind === 'stopped' && { collected: undefined }) }
}

function describeEnding(ending: AttemptEnding): string {
  switch (ending.kind) {
    case 'exited':
      return `exit code ${ending.exitCode}`
    case 'stopped':
      return `${ending.cause}: ${ending.message}`
    case 'lost':
    case 'rejected':
      return `${ending.kind}: ${ending.message}`
  }
}
