import type { EnvironmentReference } from './environment.ts'
import type { Plan } from './plan.ts'

/** The same plan with another environment for what its script leaves on this machine, which is the last one. */
export function withDefaultEnvironment(
  plan: Plan,
  { kind, name = kind, options }: EnvironmentReference,
): Plan {
  const last = plan.environments.length - 1
  const known = plan.environments.findIndex((each) => each.kind === kind && each.name === name)
  if (known < 0)
    return { ...plan, environments: [...plan.environments.slice(0, -1), { name, kind, options }] }
  const moved = (index: number): number => (index === last ? known : index)
  return {
    ...plan,
    steps: plan.steps.map((step) =>
      step.kind === 'capsule'
        ? { ...step, environments: [...new Set(step.environments.map((index) => moved(index)))] }
        : step,
    ),
  }
}
