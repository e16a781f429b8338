import type { Plan } from '../workflow/plan.ts'
import type { ExecutionState, ExecutionSummary } from './contract.ts'
import { makeGraph } from './graph.ts'

/** What clients are told of an execution that waits for its turn: what it begins with is ready. */
export function describeWaiting(summary: ExecutionSummary, plan: Plan): ExecutionState {
  const roots = new Set(makeGraph(plan).roots)
  const nothing = { running: 0, completed: 0, failed: 0 }
  const steps = plan.steps.map((step, index) => ({ step, ready: roots.has(index) ? 1 : 0 }))
  const capsules = steps.flatMap(({ step, ready }) => (step.kind === 'capsule' ? [{ step, ready }] : []))
  const sum = (ones: readonly { readonly ready: number }[]) => ones.reduce((all, { ready }) => all + ready, 0)
  return {
    ...summary,
    counts: { ...nothing, ready: sum(capsules) },
    capsules: capsules.map(({ step, ready }) => ({ ...nothing, name: step.name, ready })),
    environments: plan.environments.map(({ name, kind }, index) => ({
      name,
      kind,
      ready: sum(capsules.filter(({ step }) => step.environments[0] === index)),
      submitted: 0,
      running: 0,
      done: 0,
      failed: 0,
      errors: [],
    })),
  }
}
