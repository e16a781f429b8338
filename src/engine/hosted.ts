import type { Plan } from '../workflow/plan.ts'

/** Whether the function host calls functions there. Elsewhere they are jobs like any other. */
export function isHosted({ environments }: Plan, index: number): boolean {
  return environments[index]?.kind === 'local'
}
