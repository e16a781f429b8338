import type { Plan } from '../workflow/plan.ts'
import type { ExecutionState } from './contract.ts'
import type { EnvironmentUse } from './environments.ts'
import type { Run } from './run.ts'

/** The environments of an execution's plan, with those that there are for them. */
export function usesOf({ environments }: ExecutionState, run: Run | undefined): EnvironmentUse[] {
  return environments.map((state, index) => ({
    environment: run?.resources.trackers[index]?.environment,
    state,
  }))
}

/** The environments of a plan whose run is about to be opened. */
export function usesToCome({ environments }: Plan): EnvironmentUse[] {
  const nothing = { ready: 0, submitted: 0, running: 0, done: 0, failed: 0, errors: [] }
  return environments.map(({ name, kind }) => ({ environment: undefined, state: { name, kind, ...nothing } }))
}
