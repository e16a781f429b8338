import { z } from 'zod'
import { Problem } from '../problem.ts'
import { decodeJson } from '../workflow/context.ts'
import { planSchema } from '../workflow/plan-schema.ts'
import { describeProblem } from '../workflow/workflow-error.ts'
import type { Evaluation } from './contract.ts'
import { evaluationMessage, type EvaluationMessage } from './evaluation-message.ts'
import { printedError, relativeText, syntaxPlace } from './thrown.ts'

/** How the process that read a script ended, and all it said. */
export interface ScriptEnd {
  readonly code: number | null
  readonly killedBy: string | null
  /** The limit that made the server end it. */
  readonly endedFor: 'time' | 'output' | 'answer' | 'abort' | null
  readonly answer: string
  readonly output: string
  readonly errors: string
}

interface Reading {
  readonly script: string
  readonly workUrl: string
  readonly limits: { readonly timeMs: number; readonly memoryBytes: number; readonly outputBytes: number }
}

const mebibyte = 1024 * 1024
const linesShown = 20

/** The plan that the script gave, or the problem in the way of it. Nothing that the process said is trusted. */
export function readAnswer(end: ScriptEnd, reading: Reading): Evaluation {
  const { script } = reading
  if (end.endedFor !== null || end.answer === '') throw withoutAnswer(end, reading)
  const message = parseAnswer(end.answer)
  if (message === undefined)
    throw new Problem(
      'script-invalid',
      `${script}: The script left nothing that can be read as a workflow.`,
      {
        hint: 'It may have changed what JavaScript itself brings, such as JSON or Object.prototype.',
        cause: outputCause(end, reading),
      },
    )
  switch (message.kind) {
    case 'plan':
      return { plan: checkPlan(message.plan, script), modules: message.modules }
    case 'problems':
      throw new Problem(
        'workflow-invalid',
        message.problems.map((problem) => describeProblem(problem)).join('\n'),
        { cause: withStack('WorkflowError', message.stack) },
      )
    case 'stranger':
      throw new Problem(
        'script-invalid',
        `${script}: The script ${message.found}; expected a workflow as its default export.`,
        { hint: 'End the script with: export default model.hook(...), or another capsule or workflow.' },
      )
    case 'threw':
      throw thrownProblem(message, end, reading)
    case 'exited': {
      const sentence =
        message.code === 13
          ? 'The script never ends: it awaits something at its top level that cannot happen any more.'
          : `The script ended its own process, with exit code ${message.code}, instead of giving a workflow.`
      throw new Problem('script-invalid', describeAt(message.location, script, sentence), {
        cause: outputCause(end, reading),
      })
    }
  }
}

function parseAnswer(text: string): EvaluationMessage | undefined {
  try {
    return evaluationMessage.safeParse(decodeJson(text)).data
  } catch {
    return undefined
  }
}

function checkPlan(candidate: unknown, script: string): Evaluation['plan'] {
  const checked = planSchema.safeParse(candidate)
  if (checked.success && checked.data.script === script) return checked.data
  const details = checked.success ? 'It names another script.' : z.prettifyError(checked.error)
  throw new Problem(
    'script-invalid',
    `${script}: The workflow holds something that cannot be run:\n${details.split('\n').slice(0, linesShown).join('\n')}`,
    { hint: 'Build tasks, hooks and samplings with the functions that molehill exports.' },
  )
}

function thrownProblem(
  message: Extract<EvaluationMessage, { kind: 'threw' }>,
  end: ScriptEnd,
  { script, workUrl }: Reading,
): Problem {
  const printed = message.isPrinted ? syntaxPlace(end.errors, workUrl) : undefined
  const isMissingExport = message.message.includes('does not provide an export named')
  return new Problem('script-invalid', describeAt(printed ?? message.location, script, message.message), {
    cause: withStack('Error', printed === undefined ? message.stack : printedError(end.errors, workUrl)),
    ...(isMissingExport && { hint: 'Import types with: import type { ... }.' }),
  })
}

function withoutAnswer(end: ScriptEnd, reading: Reading): Problem {
  const { script, limits } = reading
  const cause = outputCause(end, reading)
  const problem = (sentence: string, hint: string): Problem =>
    new Problem('script-invalid', `${script}: ${sentence}`, { cause, hint })
  const calm = 'A script only describes a workflow; computing belongs into tasks.'
  if (end.endedFor === 'time' || end.killedBy === 'SIGXCPU')
    return problem(`The script did not give a workflow within ${limits.timeMs} ms.`, calm)
  if (end.endedFor === 'output')
    return problem(`The script wrote more than ${limits.outputBytes} bytes while it was read.`, calm)
  if (end.endedFor === 'answer')
    return problem(
      'The workflow is too large to be kept.',
      'Let samplings describe many samples instead of listing them, or read them from a file in a task.',
    )
  if (/heap out of memory|Fatal .*memory|allocation failed/i.test(end.errors))
    return problem(
      `The script needs more than the ${Math.floor(limits.memoryBytes / mebibyte)} MiB of memory that reading it may take.`,
      calm,
    )
  const how = end.killedBy === null ? `exit code ${end.code ?? '?'}` : `signal ${end.killedBy}`
  return problem(`The process that read the script ended with ${how} and no workflow.`, calm)
}

function describeAt(location: EvaluationPlace, script: string, sentence: string): string {
  return describeProblem({ message: sentence, location: location ?? null }).startsWith(sentence)
    ? `${script}: ${sentence}`
    : describeProblem({ message: sentence, location: location ?? null })
}

type EvaluationPlace = Extract<EvaluationMessage, { kind: 'threw' }>['location'] | undefined

/** Where in Node a process crashed: lines that tell where the server's Node lies, and nothing of the script. */
const crashFrames =
  /^(?:-+ (?:Native|JavaScript) stack trace -+|\s*\d+: .*(?:0x[\da-f]+|node:internal).*)\n?/gm

function outputCause(end: ScriptEnd, { workUrl }: Reading): Error | undefined {
  const text = relativeText(`${end.errors}${end.output}`, workUrl).replace(crashFrames, '').trim()
  return text === '' ? undefined : withStack('Error', text)
}

function withStack(name: string, stack: string): Error {
  const cause = new Error(stack.split('\n', 1)[0] ?? '')
  cause.name = name
  cause.stack = stack
  return cause
}
