import type { EnvironmentState, ExecutionState, ExecutionSummary, JobCounts } from './contract.ts'
import type { Run } from './run.ts'

/** What clients are told of an execution under way, or at its end. Costs the same however many jobs there are. */
export function describeRun(summary: ExecutionSummary, run: Run): ExecutionState {
  const capsules = run.graph.steps.flatMap((step, index) =>
    step.kind === 'capsule'
      ? [{ name: step.name, ready: run.readyOf(index), ...run.tally.capsule(index) }]
      : [],
  )
  const sum = (pick: (counts: JobCounts) => number): number =>
    capsules.reduce((total, capsule) => total + pick(capsule), 0)
  return {
    ...summary,
    counts: {
      ready: sum(({ ready }) => ready),
      running: sum(({ running }) => running),
      completed: sum(({ completed }) => completed),
      failed: sum(({ failed }) => failed),
    },
    capsules,
    environments: run.resources.plan.environments.map(({ name, kind }, index): EnvironmentState => {
      const ready = run.graph.steps.reduce(
        (total, step, position) =>
          step.kind === 'capsule' && step.environments[0] === index ? total + run.readyOf(position) : total,
        0,
      )
      const waiting = ready - (run.tally.waitingIn[index] ?? 0)
      return {
        name,
        kind,
        ready: waiting,
        ...run.tally.environment(index),
        errors: [...run.faults.of(index)],
      }
    }),
  }
}
