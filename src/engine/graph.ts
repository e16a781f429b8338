import type { Context } from '../workflow/context.ts'
import type { Plan, PlanStep, PlanTransition } from '../workflow/plan.ts'

/** A plan with its transitions at hand from both ends. */
export interface Graph {
  readonly steps: readonly PlanStep[]
  /** What the execution was started with. */
  readonly given: Context
  readonly leaving: readonly (readonly PlanTransition[])[]
  /** How many transitions must have delivered before a step fires. */
  readonly arriving: readonly number[]
  /** Steps that start when the execution starts. */
  readonly roots: readonly number[]
  /** For each exploration the aggregations that end it. */
  readonly aggregations: readonly (readonly number[])[]
}

export function makeGraph(plan: Plan): Graph {
  const at = (pick: (transition: PlanTransition) => number, index: number): PlanTransition[] =>
    plan.transitions.filter((transition) => pick(transition) === index)
  const arriving = plan.steps.map((_, index) => at(({ to }) => to, index).length)
  return {
    steps: plan.steps,
    given: plan.given ?? {},
    leaving: plan.steps.map((_, index) => at(({ from }) => from, index)),
    arriving,
    roots: plan.steps.flatMap((_, index) => (arriving[index] === 0 ? [index] : [])),
    aggregations: plan.steps.map((_, exploration) =>
      plan.steps.flatMap((step, index) =>
        step.kind === 'aggregate' && step.exploration === exploration ? [index] : [],
      ),
    ),
  }
}
