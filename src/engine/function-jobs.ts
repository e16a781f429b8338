import { relative, sep } from 'node:path'
import { resolveFile, type ExecutionPaths } from '../job/command.ts'
import type { FunctionOutcome } from '../script/contract.ts'
import { mismatch, type Context } from '../workflow/context.ts'
import type { PlanFunctionTask, PlanValue } from '../workflow/plan.ts'
import type { Json } from '../workflow/value.ts'
import { messageOf } from '../problem.ts'

/** What a task receives: its inputs with defaults filled in. */
export function taskInputs(inputs: readonly PlanValue[], context: Context): Context {
  const given: Record<string, Json> = {}
  for (const { name, default: byDefault, type } of inputs) {
    const value = context[name]
    if (value !== undefined) given[name] = value
    else if (byDefault !== undefined)
      given[name] = type.base === 'file' ? mapFiles(byDefault, asWorkFile) : byDefault
  }
  return given
}

/** The inputs of a function call: file values become absolute paths. */
export function callInputs(task: PlanFunctionTask, context: Context, paths: ExecutionPaths): Context {
  const inputs: Record<string, Json> = { ...taskInputs(task.inputs, context) }
  for (const { name, type } of task.inputs)
    if (type.base === 'file')
      inputs[name] = mapFiles(inputs[name] ?? null, (file) => resolveFile(file, paths))
  return inputs
}

/** What a function job came to: its outputs, or why it failed. */
export type JobResult =
  | { readonly kind: 'outputs'; readonly outputs: Context }
  | { readonly kind: 'failure'; readonly message: string; readonly stack: string }

/** Checks what a task function returned against its declared outputs, and makes its paths file values. */
export function readOutcome(
  task: PlanFunctionTask,
  outcome: FunctionOutcome,
  paths: ExecutionPaths,
): JobResult {
  if (outcome.kind !== 'returned')
    return {
      kind: 'failure',
      message: outcome.message,
      stack: outcome.kind === 'threw' ? outcome.stack : '',
    }
  const failure = (message: string): JobResult => ({ kind: 'failure', message, stack: '' })
  const result: unknown = outcome.result ?? {}
  if (typeof result !== 'object' || result === null || Array.isArray(result))
    return failure(`The function returned ${typeof result}; expected an object with its outputs.`)
  const names = task.outputs.map(({ name }) => name)
  const stranger = Object.keys(result).find((name) => !names.includes(name))
  if (stranger !== undefined)
    return failure(
      `The function returned ${stranger}, which is none of its outputs: ${names.join(', ') || 'it has none'}.`,
    )
  const outputs: Record<string, Json> = {}
  for (const { name, type } of task.outputs) {
    const value: unknown = (result as Record<string, unknown>)[name]
    const found = mismatch(value, type)
    if (found !== undefined) return failure(`The output ${name}: expected ${found}.`)
    try {
      outputs[name] =
        type.base === 'file'
          ? mapFiles(value as Json, (path) => asFileValue(path, name, paths))
          : (value as Json)
    } catch (error) {
      return failure(messageOf(error))
    }
  }
  return { kind: 'outputs', outputs }
}

function asFileValue(path: string, name: string, { workDirectory, filesDirectory }: ExecutionPaths): string {
  for (const [place, directory] of [
    ['work', workDirectory],
    ['files', filesDirectory],
  ] as const) {
    const inside = relative(directory, path)
    if (path.startsWith('/') && inside !== '' && inside !== '..' && !inside.startsWith(`..${sep}`))
      return `${place}/${inside}`
  }
  // A relative path is one of the work directory, where functions run.
  if (!path.startsWith('/') && !path.split('/').includes('..')) return asWorkFile(path)
  throw new Error(
    `The output ${name} is the file ${path}; expected one in the work directory or in job.directory.`,
  )
}

function asWorkFile(path: string): string {
  return `work/${path.replace(/^(\.\/)+/, '')}`
}

function mapFiles(value: Json, change: (file: string) => string): Json {
  if (typeof value === 'string') return change(value)
  return Array.isArray(value) ? value.map((each: Json) => mapFiles(each, change)) : value
}
