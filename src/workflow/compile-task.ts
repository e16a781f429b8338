import { mismatch } from './context.ts'
import type { Hook } from './hook.ts'
import type {
  PlanCommandTask,
  PlanFunctionTask,
  PlanHook,
  PlanOutput,
  PlanTask,
  PlanTemplate,
  PlanValue,
} from './plan.ts'
import type { Argument, CommandTask, InputFile, OutputReader, Task } from './task.ts'
import { isTemplate, type Template } from './template.ts'
import { isValue, type Json, type Value } from './value.ts'

/** The script's functions by the name the plan gives them. */
export type FunctionTable = Map<string, (...parameters: never[]) => unknown>

/** Takes note of something wrong; compiling goes on to find the rest. */
export type Report = (message: string) => void

/** The plan's form of a task. Its function, if it is one, is noted in `functions` as `<capsule>.run`. */
export function compileTask(task: Task, capsule: string, functions: FunctionTable, report: Report): PlanTask {
  switch (task.kind) {
    case 'function': {
      if (typeof task.run !== 'function')
        report(`${capsule} has no function: run is ${typeof task.run}, expected a function.`)
      const inputs = compileValues(task.inputs, `${capsule}'s inputs`, report)
      const outputs = compileValues(task.outputs, `${capsule}'s outputs`, report)
      functions.set(`${capsule}.run`, task.run)
      return { kind: 'function', function: `${capsule}.run`, inputs, outputs } satisfies PlanFunctionTask
    }
    case 'command':
      return compileCommand(task, capsule, report)
  }
}

/** The plan's form of a hook. A function in it is noted in `functions` under `name`. */
export function compileHook(
  hook: Hook,
  name: string,
  task: Task,
  functions: FunctionTable,
  report: Report,
): PlanHook {
  const valuesOf = (values: readonly Value[] | undefined): string[] => [
    ...new Set((values ?? taskValues(task)).map((value) => value.name)),
  ]
  switch (hook.kind) {
    case 'display': {
      if (typeof hook.text === 'function') {
        functions.set(name, hook.text)
        return { kind: 'display-function', function: name, values: valuesOf(undefined) }
      }
      if (hook.text !== undefined) return { kind: 'display-text', template: compileTemplate(hook.text) }
      return { kind: 'display-values', values: valuesOf(hook.values) }
    }
    case 'csv':
    case 'json-lines':
      checkPath(hook.path, name, report)
      return { ...hook, values: valuesOf(hook.values) }
    case 'copy-file': {
      if (hook.value.type.base !== 'file')
        report(`${name} copies ${hook.value.name}, which is no file value.`)
      const to = typeof hook.to === 'string' ? { texts: [hook.to], values: [] } : compileTemplate(hook.to)
      checkPath(to.texts.join('x'), name, report)
      return { kind: 'copy-file', value: hook.value.name, to }
    }
  }
}

function compileCommand(task: CommandTask, capsule: string, report: Report): PlanCommandTask {
  const used = new Map<string, PlanValue & { path: string | null }>()
  const use = (input: Value | InputFile): void => {
    const value = isValue(input) ? input : input.value
    const path = isValue(input) ? null : input.path
    if (path !== null) checkPath(path, `${capsule}'s input ${value.name}`, report)
    const known = used.get(value.name)
    used.set(value.name, { ...compileValue(value, report), path: path ?? known?.path ?? null })
  }
  const words = 'kind' in task.command ? [task.command.template] : task.command
  if (words.length === 0) report(`${capsule} has an empty command; expected a program and its arguments.`)
  for (const argument of [...words, ...Object.values(task.env)])
    if (isTemplate(argument)) argument.values.forEach(use)
    else if (isValue(argument)) use(argument)
    else if (typeof argument !== 'string')
      report(
        `${capsule} has ${typeof argument} ${JSON.stringify(argument)} in its command; expected text or a value.`,
      )
  task.inputs.forEach(use)
  return {
    kind: 'command',
    command:
      'kind' in task.command
        ? { kind: 'shell', template: compileTemplate(task.command.template) }
        : { kind: 'argv', words: task.command.map((word) => compileArgument(word)) },
    env: Object.fromEntries(Object.entries(task.env).map(([key, word]) => [key, compileArgument(word)])),
    inputs: [...used.values()],
    outputs: task.outputs.map((output) => compileOutput(output, capsule, report)),
  }
}

function compileOutput(output: OutputReader, capsule: string, report: Report): PlanOutput {
  const value = compileValue(output.value, report)
  switch (output.kind) {
    case 'read-stdout':
      return { ...value, reader: { kind: 'read-stdout' } }
    case 'read-text':
      checkPath(output.path, `${capsule}'s output ${value.name}`, report)
      return { ...value, reader: { kind: 'read-text', path: output.path } }
    case 'read-json':
      if (output.path !== undefined) checkPath(output.path, `${capsule}'s output ${value.name}`, report)
      return { ...value, reader: { kind: 'read-json', path: output.path ?? null, key: output.key ?? null } }
    case 'keep-file':
      checkPath(output.path, `${capsule}'s output ${value.name}`, report)
      if (value.type.base !== 'file' || value.type.dimensions > 0)
        report(`${capsule} keeps a file as ${value.name}, which is no file value.`)
      return { ...value, reader: { kind: 'keep-file', path: output.path } }
  }
}

function compileValues(values: readonly Value[], what: string, report: Report): PlanValue[] {
  const names = new Set<string>()
  for (const value of values) {
    if (!isValue(value)) {
      report(`${what} hold ${typeof value}; expected values such as number('x').`)
      continue
    }
    if (names.has(value.name)) report(`${what} name ${value.name} twice.`)
    if (!/^[A-Za-z_$][\w$]*$/.test(value.name))
      report(
        `${what} hold ${JSON.stringify(value.name)}, which cannot be a value's name; expected an identifier.`,
      )
    names.add(value.name)
  }
  return values.filter((value) => isValue(value)).map((value) => compileValue(value, report))
}

function compileValue({ name, type, default: given }: Value, report: Report): PlanValue {
  if (given === undefined) return { name, type }
  const wrong = mismatch(given, type)
  if (wrong !== undefined) report(`The default of ${name} is expected to be ${wrong}.`)
  return { name, type, default: given as Json }
}

function compileArgument(argument: Argument): PlanTemplate {
  if (typeof argument === 'string') return { texts: [argument], values: [] }
  return isTemplate(argument) ? compileTemplate(argument) : { texts: ['', ''], values: [argument.name] }
}

function compileTemplate({ texts, values }: Template): PlanTemplate {
  return { texts, values: values.map(({ name }) => name) }
}

function taskValues(task: Task): readonly Value[] {
  switch (task.kind) {
    case 'function':
      return [...task.inputs, ...task.outputs]
    case 'command': {
      const words = 'kind' in task.command ? [task.command.template] : task.command
      const inWords = words.flatMap((word) => (isTemplate(word) ? word.values : isValue(word) ? [word] : []))
      const inputs = task.inputs.map((input) => (isValue(input) ? input : input.value))
      return [...inWords, ...inputs, ...task.outputs.map(({ value }) => value)]
    }
  }
}

function checkPath(path: string, what: string, report: Report): void {
  const parts = path.split('/')
  if (path === '' || path.startsWith('/') || parts.includes('..') || path.includes('\0'))
    report(`${what} has the path ${JSON.stringify(path)}; expected one inside the directory, without "..".`)
}
