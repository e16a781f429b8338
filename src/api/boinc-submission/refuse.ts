import { Problem } from '../../problem.ts'

/** A refusal in the words that BOINC's server uses, so that clients know it. */
export function refuse(text: string, cause?: unknown): Problem {
  return new Problem('parameter-invalid', text, { cause })
}
