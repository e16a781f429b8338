import { inspect } from 'node:util'
import { toProblem, type Problem } from '../../problem.ts'
import { paint, type Terminal } from './terminal.ts'

/** A command that has said all it wants to say and ends with this exit code. */
export class Exit extends Error {
  override readonly name = 'Exit'
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`exit ${exitCode}`)
    this.exitCode = exitCode
  }
}

/**
 * Tells what went wrong on stderr: a sentence and what to do, as JSON where the command was asked for JSON, with the
 * stack where it was asked to be verbose. Answers with the exit code.
 */
export function tellFailure(
  terminal: Terminal,
  error: unknown,
  { json, verbose }: { json: boolean; verbose: boolean },
): number {
  if (error instanceof Exit) return error.exitCode
  const problem = toProblem(error)
  const text = json ? describeAsJson(problem) : describeForPeople(terminal, problem, verbose)
  terminal.stderr.write(`${text}\n`)
  return problem.telling.exitCode
}

function describeAsJson({ code, message, hint }: Problem): string {
  return JSON.stringify({ code, message, ...(hint === undefined ? {} : { hint }) }, null, 2)
}

function describeForPeople(terminal: Terminal, problem: Problem, verbose: boolean): string {
  const label = paint(terminal, terminal.stderr, 'red', 'error:')
  const isUnexpected = problem.code === 'internal'
  const hint =
    problem.hint ??
    (isUnexpected && !verbose ? 'Run it again with --verbose to see where this comes from.' : undefined)
  return [
    `${label} ${problem.message}`,
    ...(hint === undefined ? [] : [`hint: ${hint}`]),
    ...(verbose ? [inspect(problem)] : []),
  ].join('\n')
}
