import type { FunctionBatch, FunctionSource } from '../job/function-batches.ts'
import type { FunctionOutcome } from '../script/contract.ts'
import type { PlanCapsule, PlanFunctionTask } from '../workflow/plan.ts'
import { callInputs, readOutcome } from './function-jobs.ts'
import type { Job } from './job.ts'
import type { Failure } from './retry.ts'
import { isHosted } from './hosted.ts'
import type { Completion } from './job-ends.ts'
import type { Run } from './run.ts'

/** A run's function tasks: makes batches of calls of its jobs, and jobs' ends of their outcomes. */
export class FunctionCapsules implements FunctionSource {
  /** Downstream first, so that what is begun is finished before more is begun. */
  readonly capsules: readonly number[]
  readonly #run: Run

  constructor(run: Run) {
    this.#run = run
    this.capsules = run.graph.steps
      .flatMap((step, index) =>
        step.kind === 'capsule' && step.task.kind === 'function' && hostedOn(run, step) !== undefined
          ? [index]
          : [],
      )
      .toReversed()
  }

  waiting(capsule: number): number {
    return this.#run.waiting(capsule)
  }

  groupSize(capsule: number): number | undefined {
    const size = this.#run.capsuleAt(capsule).groupSize
    return size === 1 ? undefined : size
  }

  take(step: number, limit: number): FunctionBatch | undefined {
    const capsule = this.#run.capsuleAt(step)
    const { task } = capsule
    if (task.kind !== 'function') return undefined
    const jobs = this.#run.takeJobs(step, limit, capsule.groupSize)
    if (jobs.length === 0) return undefined
    // Without `.by(n)` a batch is our own doing: each job is an environment job of its own.
    const environmentJobs = capsule.groupSize === 1 ? jobs.length : 1
    const environment = hostedOn(this.#run, capsule) ?? 0
    this.#run.moves.began(jobs, environment, environmentJobs)
    const { paths } = this.#run.resources
    return {
      functionName: task.function,
      timeoutMs: capsule.timeoutMs,
      calls: jobs.map(({ id, activation }) => ({
        inputs: callInputs(task, activation.context, paths),
        directory: `${paths.filesDirectory}/${id}`,
      })),
      ended: async (outcomes) => {
        await this.#end(capsule, task, jobs, outcomes, { environment, environmentJobs })
      },
    }
  }

  async #end(
    capsule: PlanCapsule,
    task: PlanFunctionTask,
    jobs: readonly Job[],
    outcomes: readonly FunctionOutcome[],
    { environment, environmentJobs }: { environment: number; environmentJobs: number },
  ): Promise<void> {
    const { paths } = this.#run.resources
    const completed: Completion[] = []
    const failed: { job: Job; failure: Failure }[] = []
    for (const [index, job] of jobs.entries()) {
      const outcome = outcomes[index] ?? { kind: 'crashed', message: 'The function gave no answer.' }
      const result = readOutcome(task, outcome, paths)
      if (result.kind === 'outputs') completed.push({ job, outputs: result.outputs })
      else
        failed.push({
          job,
          failure: { ...result, exitCode: null, isEnvironmentsFault: false, isFinal: false },
        })
    }
    const displayed = await this.#run.displayTexts(capsule, completed)
    const failures = Math.min(failed.length, environmentJobs)
    this.#run.left(environment, environmentJobs, { done: environmentJobs - failures, failed: failures })
    this.#run.ends.complete(completed, displayed)
    this.#run.ends.fail(failed)
  }
}

/** The environment of a capsule whose functions the function host calls, if any: this computer. */
function hostedOn({ resources }: Run, { environments }: PlanCapsule): number | undefined {
  return environments.find((index) => isHosted(resources.plan, index))
}
