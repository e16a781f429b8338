import type { Write } from '../store/journal-schema.ts'
import type { Context } from '../workflow/context.ts'
import { taskInputs } from './function-jobs.ts'
import type { DisplayTexts } from './hooks/display-texts.ts'
import { renderHook, type HookEffect } from './hooks/render.ts'
import { describeJob, writeJob, type Job } from './job.ts'
import type { ReadyJobs } from './ready-jobs.ts'
import { retryDelayMs, type Failure } from './retry.ts'
import type { Run } from './run.ts'
import type { RunEvent } from './state.ts'

/** A job that has done its work, with what it gives on. */
export interface Completion {
  readonly job: Job
  readonly outputs: Context
}

/** What the ends of a run's jobs reach that others do not. */
export interface JobEndsParts {
  /** Jobs that have been made and have not ended. */
  readonly live: Set<Job>
  readonly ready: ReadyJobs
  /** Keeps effects of hooks until they are carried out: what is to be written for that. */
  readonly note: (effects: readonly HookEffect[]) => readonly Write[]
  /** Takes an event into the state. Nothing new starts before the run is woken. */
  readonly advance: (event: RunEvent) => void
  /** Whether a job that failed has ended the execution. */
  readonly hasFailed: () => boolean
  /** Whether what comes now is too late to be kept. */
  readonly isOver: () => boolean
}

/** What becomes of a run's jobs when attempts of them end: they are completed, tried again, or have failed. */
export class JobEnds {
  readonly #run: Run
  readonly #parts: JobEndsParts
  readonly #retries = new Map<Job, { readonly timer: NodeJS.Timeout; readonly at: number }>()

  constructor(run: Run, parts: JobEndsParts) {
    this.#run = run
    this.#parts = parts
  }

  /** When a job that failed is tried again, in milliseconds since 1970. */
  retryAt(job: Job): number | undefined {
    return this.#retries.get(job)?.at
  }

  /** Ends jobs well: results, hooks and what follows are in one transaction. */
  complete(completions: readonly Completion[], texts: DisplayTexts): void {
    for (const [index, { job, outputs }] of completions.entries()) {
      if (!this.#parts.live.has(job) || this.#parts.isOver()) continue
      let effects: HookEffect[]
      try {
        effects = this.#render(job, outputs, texts[index])
      } catch (error) {
        const { message } = error instanceof Error ? error : new Error(String(error))
        this.fail([
          { job, failure: { message, stack: '', exitCode: null, isEnvironmentsFault: false, isFinal: true } },
        ])
        continue
      }
      this.#close(job, 'completed')
      const kept = this.#mustKeepOutput(job.activation.step) ? outputs : undefined
      this.#run.journal.record([writeJob(job, kept), ...this.#parts.note(effects)])
      this.#parts.advance({ kind: 'completed', activation: job.activation, outputs })
    }
    this.#run.wake()
  }

  /** Ends attempts badly: each job is tried again later, or has failed. */
  fail(failures: readonly { readonly job: Job; readonly failure: Failure }[]): void {
    for (const { job, failure } of failures) {
      if (!this.#parts.live.has(job) || this.#parts.isOver()) continue
      const delayMs = retryDelayMs(job.capsule.retry, job.attempts, failure)
      const message = `${describeJob(job)}: ${failure.message}`
      job.error = failure.message.slice(0, 4000)
      job.exitCode = failure.exitCode
      this.#run.journal.record(
        this.#run.faults.add(job.environment, {
          message,
          stackTrace: failure.stack,
          level: delayMs === undefined && job.capsule.tolerance === 0 ? 'SEVERE' : 'WARNING',
          time: this.#run.resources.now(),
        }),
      )
      if (delayMs !== undefined) this.#retryLater(job, delayMs)
      else this.#fail(job, message, failure.stack)
    }
    this.#run.wake()
  }

  /** Lets a job wait again whose turn did not come; that does not count as a try. */
  takeBack(job: Job): void {
    if (!this.#parts.live.has(job)) return
    this.#run.moves.putBack(job)
    job.attempts -= 1
    this.#run.journal.moved(job, 'ready')
    this.#run.requeue([job])
  }

  /** Lets go of a job that was ended because the run ends. */
  abandon(job: Job): void {
    if (!this.#parts.live.has(job)) return
    this.#run.moves.putBack(job)
    job.state = 'cancelled'
    job.endedAt = this.#run.resources.now()
    this.#parts.live.delete(job)
    this.#run.journal.record([writeJob(job, undefined)])
    this.#run.journal.moved(job, 'cancelled')
  }

  /** Nothing is tried again any more. */
  stopRetries(): void {
    for (const { timer } of this.#retries.values()) clearTimeout(timer)
  }

  #render(job: Job, outputs: Context, texts: readonly unknown[] | undefined): HookEffect[] {
    const { context: given } = job.activation
    const context = { ...given, ...taskInputs(job.capsule.task.inputs, given), ...outputs }
    return job.capsule.hooks.map((hook, index) => renderHook(hook, context, texts?.[index]))
  }

  #mustKeepOutput(step: number): boolean {
    const { scope } = this.#run.graph.steps[step] ?? { scope: null }
    const neighbours = this.#run.graph.steps.filter((other) => other.scope === scope).length
    // Alone in its sample, a job settles it: what it gives on is in the sample's row.
    return scope === null ? (this.#run.graph.leaving[step]?.length ?? 0) > 0 : neighbours > 1
  }

  #retryLater(job: Job, delayMs: number): void {
    this.#run.moves.retried(job)
    this.#run.journal.record([writeJob(job, undefined)])
    this.#run.journal.moved(job, 'ready')
    const timer = setTimeout(() => {
      this.#retries.delete(job)
      this.#parts.ready.queue(job)
      this.#run.wake()
    }, delayMs)
    this.#retries.set(job, { timer, at: this.#run.resources.now() + delayMs })
  }

  #fail(job: Job, message: string, stack: string): void {
    this.#close(job, 'failed')
    this.#run.journal.record([writeJob(job, undefined)])
    this.#run.apply({ kind: 'failed', activation: job.activation })
    if (this.#parts.hasFailed()) this.#run.stop({ kind: 'failed', message, stack })
  }

  #close(job: Job, state: 'completed' | 'failed'): void {
    this.#parts.live.delete(job)
    this.#run.moves.close(job, state)
  }
}
