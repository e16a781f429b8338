import { basename, join } from 'node:path'
import type { FileTransfer, JobId, JobRequest, OutputFile } from '../environment/environment.ts'
import type { Context } from '../workflow/context.ts'
import type { PlanCapsule, PlanCommandTask, PlanTemplate } from '../workflow/plan.ts'
import type { Json } from '../workflow/value.ts'
import { quoteWord } from './quote.ts'

/** Where the files of an execution lie. File values begin with `work/` or `files/` and are resolved here. */
export interface ExecutionPaths {
  readonly workDirectory: string
  readonly filesDirectory: string
  /** Links may be followed inside of it only; anywhere without it. */
  readonly linksWithin?: string
}

/** What an environment is asked to run for one job of a command task. */
export function makeRequest(
  id: JobId,
  capsule: PlanCapsule & { readonly task: PlanCommandTask },
  context: Context,
  paths: ExecutionPaths,
): JobRequest {
  const { task } = capsule
  const placed = placeFiles(task, context, paths)
  const arrays = new Set(task.inputs.flatMap(({ name, type }) => (type.dimensions > 0 ? [name] : [])))
  const words = (name: string): readonly string[] =>
    placed.names.get(name) ?? asWords(context[name] ?? null, arrays.has(name))
  const write = (name: string): string =>
    arrays.has(name) ? JSON.stringify(placed.names.get(name) ?? context[name]) : (words(name)[0] ?? '')
  return {
    id,
    command:
      task.command.kind === 'shell'
        ? ['/bin/sh', '-c', fill(task.command.template, (name) => words(name).map(quoteWord).join(' '))]
        : task.command.words.flatMap((word) => {
            const array = arrayAlone(word, arrays)
            return array === undefined ? fill(word, write) : words(array)
          }),
    env: Object.fromEntries(Object.entries(task.env).map(([key, word]) => [key, fill(word, write)])),
    workDirectory: paths.workDirectory,
    ...(paths.linksWithin !== undefined && { linksWithin: paths.linksWithin }),
    inputs: placed.transfers,
    outputs: outputFiles(task),
    ...(readsPrinted(task) && { returnsPrinted: true }),
    resources: capsule.timeoutMs === null ? {} : { wallTimeMs: capsule.timeoutMs },
  }
}

/** Text with the values of a context written into it. */
export function fill(template: PlanTemplate, write: (name: string) => string): string {
  return template.texts
    .map((text, index) => {
      const name = template.values[index]
      return name === undefined ? text : text + write(name)
    })
    .join('')
}

/** An array in a place of its own on a command line becomes as many words as it has elements. */
function arrayAlone({ texts, values }: PlanTemplate, arrays: ReadonlySet<string>): string | undefined {
  const [name] = values
  const isAlone = values.length === 1 && texts.every((text) => text === '')
  return isAlone && name !== undefined && arrays.has(name) ? name : undefined
}

function asWords(value: Json, isArray: boolean): readonly string[] {
  return isArray && Array.isArray(value) ? value.map((each: Json) => asWord(each)) : [asWord(value)]
}

/** A value as one word of a command line or a line of text. Arrays and objects are JSON. */
export function asWord(value: Json): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}

/** The absolute path of a file value. */
export function resolveFile(value: string, { workDirectory, filesDirectory }: ExecutionPaths): string {
  const [place, ...rest] = value.split('/')
  return join(place === 'files' ? filesDirectory : workDirectory, ...rest)
}

function placeFiles(
  task: PlanCommandTask,
  context: Context,
  paths: ExecutionPaths,
): { transfers: FileTransfer[]; names: ReadonlyMap<string, readonly string[]> } {
  const transfers: FileTransfer[] = []
  const names = new Map<string, readonly string[]>()
  const taken = new Set<string>()
  for (const { name, type, path } of task.inputs) {
    if (type.base !== 'file') continue
    const placed = everyFile(context[name]).map((value, index, all) => {
      const wanted = path ?? basename(value)
      const to = uniqueName(path !== null && all.length > 1 ? `${index}-${wanted}` : wanted, taken)
      // A file of the work directory under its own path is there already.
      if (value !== `work/${to}`) transfers.push({ from: resolveFile(value, paths), to })
      return to
    })
    // "./" keeps a file named "-rf" from being read as an option.
    names.set(
      name,
      placed.map((to) => (to.startsWith('-') ? `./${to}` : to)),
    )
  }
  return { transfers, names }
}

function everyFile(value: Json | undefined): string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) ? value.flatMap((each: Json) => everyFile(each)) : []
}

function uniqueName(wanted: string, taken: Set<string>): string {
  let name = wanted
  for (let number = 2; taken.has(name); number += 1) name = `${number}-${wanted}`
  taken.add(name)
  return name
}

function readsPrinted({ outputs }: PlanCommandTask): boolean {
  return outputs.some(({ reader }) => reader.kind === 'read-stdout' || reader.path === null)
}

function outputFiles(task: PlanCommandTask): OutputFile[] {
  const paths = task.outputs.flatMap(({ reader }) =>
    reader.kind === 'read-stdout' || reader.path === null ? [] : [reader.path],
  )
  return [...new Set(paths)].map((path) => ({ path }))
}
