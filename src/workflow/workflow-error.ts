import { describeLocation, type SourceLocation } from './location.ts'

/** One thing wrong with a workflow, and where in the script it was written. */
export interface WorkflowProblem {
  readonly message: string
  readonly location: SourceLocation | null
}

/** A workflow that cannot run. Tells all that is wrong, not only the first thing. */
export class WorkflowError extends Error {
  override readonly name = 'WorkflowError'
  readonly problems: readonly WorkflowProblem[]

  constructor(problems: readonly WorkflowProblem[]) {
    super(problems.map((problem) => describeProblem(problem)).join('\n'))
    this.problems = problems
  }
}

/** `script.ts:3:14: message`. */
export function describeProblem({ message, location }: WorkflowProblem): string {
  return location === null ? message : `${describeLocation(location)}: ${message}`
}
