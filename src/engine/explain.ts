import type { PlanCapsule } from '../workflow/plan.ts'
import type { Explanation, JobRow } from './contract.ts'
import { describeJob, type Job } from './job.ts'
import { isHosted } from './hosted.ts'
import type { Run } from './run.ts'
import { waitingSamples } from './state.ts'

/** How many of the reasons that environments give are told of a capsule. */
const mostReasons = 3

/** Why a job that has been made is where it is. */
export function explainJob(run: Run, job: Job): Explanation {
  return { subject: describeJob(job), state: job.state, reason: reasonOf(run, job) }
}

/** Why a job that has ended is where it is. */
export function explainEnded({ capsule, ticket, state, exitCode, error, attempts }: JobRow): Explanation {
  const code = exitCode === null ? '' : ` with exit code ${exitCode}`
  const why = error === null ? '' : `: ${error}`
  const tries = attempts > 1 ? ` at attempt ${attempts}` : ''
  return {
    subject: ticket === '' ? capsule : `${capsule}[${ticket}]`,
    state,
    reason: `It ended${code}${tries}${why}.`,
  }
}

/** For every capsule that is not done, what it waits for. */
export function explainRun(run: Run): readonly Explanation[] {
  return run.graph.steps.flatMap((step, index): Explanation[] => {
    if (step.kind !== 'capsule') return []
    const given = [...run.waitingElsewhere(index)]
    // What has been given to an environment counts as ready until it runs.
    const ready = run.readyOf(index) - given.reduce((sum, [, count]) => sum + count, 0)
    const { running } = run.tally.capsule(index)
    const elsewhere = given
      .slice(0, mostReasons)
      .map(([reason, count]) => withStop(`${count} not started yet ${reason}`))
    if (ready > 0) {
      const jobs = running > 0 ? `${running} running, ${ready} waiting` : `${ready} waiting`
      const reason = [`${jobs}.`, waitingReason(run, index), ...elsewhere].join(' ')
      return [{ subject: step.name, state: 'ready', reason }]
    }
    const first = running > 0 ? [`${running} of its jobs are running.`] : []
    const reason = [...first, ...elsewhere].join(' ')
    if (reason !== '') return [{ subject: step.name, state: running > 0 ? 'running' : 'ready', reason }]
    const upstream = unfinishedBefore(run, index)
    return upstream.length === 0
      ? []
      : [{ subject: step.name, state: 'ready', reason: `It waits for ${upstream.join(', and for ')}.` }]
  })
}

function reasonOf(run: Run, job: Job): string {
  const { attempts, error } = job
  const environment = run.resources.plan.environments[job.environment]?.name ?? 'its environment'
  switch (job.state) {
    case 'ready': {
      const retryAt = run.ends.retryAt(job)
      if (retryAt === undefined) return waitingReason(run, job.activation.step)
      const seconds = Math.max(0, Math.ceil((retryAt - run.resources.now()) / 1000))
      return `Attempt ${attempts} failed (${error ?? 'for an unknown reason'}); it is tried again in ${seconds} s.`
    }
    case 'submitted': {
      const waitsFor = run.waitsFor(job)
      const why = waitsFor === undefined ? '' : `: ${waitsFor}`
      return withStop(`It has been given to ${environment}, which has not started it yet${why}`)
    }
    case 'running':
      return `It runs on ${environment}${job.startedAt === null ? '' : ` since ${new Date(job.startedAt).toISOString()}`}.`
    case 'completed':
    case 'failed':
    case 'cancelled':
      return 'It has ended, and its end is being written down.'
  }
}

function waitingReason(run: Run, step: number): string {
  const capsule = run.capsuleAt(step)
  if (run.isStopping) return 'The execution is ending.'
  if (run.isDiskBehind)
    return 'It waits for the disk: nothing new starts until what has ended is written down.'
  if (run.isShort(step)) return 'As many jobs of its owner run as may run at the same time.'
  if (run.isGroupOpen(step))
    return `It waits until its group of ${capsule.groupSize} is full, or no more jobs can come.`
  return capsule.environments.map((index) => waitingFor(run, capsule, index)).join(' ')
}

function waitingFor(run: Run, { task }: PlanCapsule, environment: number): string {
  if (task.kind === 'function' && isHosted(run.resources.plan, environment))
    return `It waits for one of ${run.resources.host.parallelism} workers that call functions.`
  const tracker = run.resources.trackers[environment]
  if (tracker === undefined) return 'It has no environment.'
  const { active, limit, pausedBecause } = tracker.activity
  const name = run.resources.plan.environments[environment]?.name ?? tracker.environment.name
  if (pausedBecause !== undefined) return `${name} takes no jobs now: ${pausedBecause}.`
  const { slots } = tracker.environment.capabilities
  // One that takes more than it can run has jobs in a queue of its own.
  if (slots !== undefined && active >= slots && active < limit)
    return `It waits for one of the slots of ${name}, which has ${active} jobs and runs ${slots} at once.`
  return `It waits for room on ${name}, which has ${active} of at most ${limit} jobs.`
}

function withStop(text: string): string {
  return text.endsWith('.') ? text : `${text}.`
}

function unfinishedBefore(run: Run, step: number): string[] {
  return run.graph.leaving.flatMap((transitions, from) => {
    if (!transitions.some(({ to }) => to === step)) return []
    const before = run.graph.steps[from]
    if (before === undefined) return []
    if (before.kind === 'capsule') {
      const isBusy = run.readyOf(from) > 0 || run.tally.capsule(from).running > 0
      return isBusy || unfinishedBefore(run, from).length > 0 ? [before.name] : []
    }
    if (before.kind === 'aggregate') return unsettledSamples(run, before.exploration)
    return unfinishedBefore(run, from)
  })
}

function unsettledSamples(run: Run, step: number): string[] {
  const open = run.openExplorations.filter((exploration) => exploration.step === step)
  if (open.length === 0) return unfinishedBefore(run, step)
  return open.map((exploration) => {
    const { samples, settled, begun, frame } = exploration
    const place = frame.ticket === '' ? '' : ` of sample ${frame.ticket}`
    if (samples === undefined) return `the samples${place} to be listed`
    return `the samples${place}: ${settled} of ${samples.size} are done, ${begun} under way, ${waitingSamples(exploration)} not begun`
  })
}
