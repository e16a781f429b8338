import { toProblem } from '../../problem.ts'

/** What the doctor says about one thing. */
export interface Finding {
  readonly name: string
  readonly isFine: boolean
  readonly text: string
  /** What to do about it. */
  readonly hint?: string
}

export interface Check {
  readonly name: string
  /** Answers with what it found when that is fine. Throws what is wrong. */
  readonly run: (signal: AbortSignal) => string | Promise<string>
}

/** Longest time that one check may take. */
const checkMs = 60_000

/** Looks at one thing after the other; what goes wrong with one keeps none of the others from being looked at. */
export async function runChecks(
  checks: readonly Check[],
  tell: (finding: Finding) => Promise<void>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const { name, run } of checks) {
    const finding = await examine(name, run)
    findings.push(finding)
    await tell(finding)
  }
  return findings
}

async function examine(name: string, run: Check['run']): Promise<Finding> {
  try {
    return { name, isFine: true, text: await run(AbortSignal.timeout(checkMs)) }
  } catch (error) {
    const { message, hint } = toProblem(error)
    return { name, isFine: false, text: message, ...(hint !== undefined && { hint }) }
  }
}
