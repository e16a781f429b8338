import type { ProblemCode } from '../../problem.ts'

/** What can go wrong where a work directory is posted with a script in it. */
export const archiveProblems = [
  'parameter-missing',
  'parameter-invalid',
  'archive-missing',
  'archive-invalid',
  'archive-unsafe',
  'archive-too-large',
  'script-missing',
  'script-invalid',
  'workflow-invalid',
  'disk-full',
] as const satisfies readonly ProblemCode[]
