import { z } from 'zod'
import { invalidArchive } from '../files/refusal.ts'

/** What of a job must be the same on all hosts that compute it. */
export interface Comparison {
  /** Whether what it prints on standard output is compared. Its standard error never is. */
  readonly comparesPrinted: boolean
  /** Outputs that are not compared: their places in the job's list, from 1. */
  readonly varying: readonly number[]
}

const shape = z.strictObject({ comparesPrinted: z.boolean(), varying: z.array(z.int()).max(100_000) })

/** The file `compared` of a job: it goes to the host and comes back with the result. */
export function comparisonText({ comparesPrinted, varying }: Comparison): string {
  return `${JSON.stringify({ comparesPrinted, varying })}\n`
}

/** Everything is compared where there is no such file. Throws Problem `archive-invalid` where it is not what was sent. */
export function readComparison(text: string): Comparison {
  if (text === '') return { comparesPrinted: true, varying: [] }
  try {
    return shape.parse(JSON.parse(text))
  } catch (error) {
    throw invalidArchive('The result has another `compared` than was sent.', error)
  }
}
