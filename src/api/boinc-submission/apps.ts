import type { Catalog, CatalogWorkflow } from '../../catalog/contract.ts'
import { Problem } from '../../problem.ts'
import { readInputs } from '../../workflow/given-inputs.ts'
import type { PlanInput } from '../../workflow/plan.ts'
import { describeType, type Json } from '../../workflow/value.ts'
import type { JobBounds } from './job-bounds.ts'
import { refuse } from './refuse.ts'
import { splitCommandLine } from './split-command-line.ts'

/** A workflow of the catalog as an app: what its jobs take and leave. */
export interface App {
  readonly name: string
  readonly workflow: CatalogWorkflow
  /** Its input files, in the order in which jobs name theirs. */
  readonly files: readonly PlanInput[]
  /** Under which name a job finds each of them. */
  readonly openNames: readonly string[]
  /** Paths of what a job leaves, as the workflow describes them. */
  readonly outputs: readonly string[]
}

/** What is told of an app that says nothing of it itself. */
export const defaultBounds: Required<JobBounds> = {
  operationsEstimate: 60e9,
  operationsBound: 60e12,
  diskBytes: 1e9,
  memoryBytes: 1e9,
  delaySeconds: 7 * 86_400,
}

/** The input that takes a command line as it is, where a workflow has one. */
const commandLineName = 'commandLine'

/** Throws Problem in the words of BOINC where there is no such app. */
export async function findApp(catalog: Pick<Catalog, 'find'>, name: string): Promise<App> {
  let workflow: CatalogWorkflow
  try {
    workflow = await catalog.find(name)
  } catch (error) {
    if (error instanceof Problem && error.code === 'workflow-unknown')
      throw refuse(`app not found: ${name.slice(0, 100)}`, error)
    throw error
  }
  const { inputs, outputs } = workflow.description
  const files = inputs.filter(({ type }) => isOneFile(type))
  return {
    name,
    workflow,
    files,
    openNames: files.map((file) =>
      file.formats[0] === undefined ? file.name : `${file.name}.${file.formats[0]}`,
    ),
    outputs: outputs.map(({ path }) => path),
  }
}

/** Throws Problem where a batch names templates that are not those of its app. */
export function checkTemplateNames(
  { name }: App,
  given: { readonly inputTemplateName: string | undefined; readonly outputTemplateName: string | undefined },
): void {
  for (const [template, ending] of [
    [given.inputTemplateName, 'in'],
    [given.outputTemplateName, 'out'],
  ] as const)
    if (template !== undefined && template !== `${name}_${ending}`)
      throw refuse(
        `couldn't parse ${ending === 'in' ? 'input' : 'output'} template file ${template.slice(0, 100)}`,
      )
}

/**
 * The values with which a job starts, its files included: by its command line, which is either one input named
 * `commandLine`, or options named as the inputs are: `--alpha 0.5 --label=x --fast`. Throws Problem that says what is
 * wrong with it.
 */
export function jobInputs(
  { workflow, files }: App,
  commandLine: string,
  paths: readonly string[],
): Readonly<Record<string, Json>> {
  const { inputs } = workflow.description
  const whole = inputs.find(({ name, type }) => name === commandLineName && type.base === 'string')
  const given: Record<string, unknown> = Object.fromEntries(
    files.map(({ name }, index) => [name, paths[index] ?? '']),
  )
  const words = splitCommandLine(commandLine)
  if (whole === undefined) Object.assign(given, readOptions(words, inputs))
  else given[commandLineName] = whole.type.dimensions === 0 ? commandLine : [...words]
  const read = readInputs(workflow.description, given)
  if (read.kind === 'problems') throw refuse(read.problems.join(' '))
  return read.inputs
}

function readOptions(words: readonly string[], inputs: readonly PlanInput[]): Record<string, unknown> {
  const options = inputs.filter(({ type }) => !isOneFile(type) && type.dimensions < 2 && type.base !== 'file')
  const given: Record<string, Json> = {}
  const left = [...words]
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    const [, name = '', text] = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(word) ?? []
    const input = options.find((each) => each.name === name)
    if (input === undefined)
      throw refuse(
        `${JSON.stringify(word.slice(0, 100))} is no option; there are ${options.map((each) => `--${each.name}`).join(', ') || 'none'}`,
      )
    const isFlag =
      input.type.base === 'boolean' && text === undefined && !/^(true|false)$/.test(left[0] ?? '')
    const value = isFlag ? 'true' : (text ?? left.shift())
    if (value === undefined) throw refuse(`--${name} needs a value`)
    const read = readValue(value, input)
    const before = given[name]
    given[name] = input.type.dimensions === 0 ? read : [...(Array.isArray(before) ? before : []), read]
  }
  return given
}

function readValue(text: string, { name, type }: PlanInput): Json {
  switch (type.base) {
    case 'number':
    case 'integer': {
      const number = Number(text)
      if (text.trim() === '' || Number.isNaN(number))
        throw refuse(`--${name} takes a number, not ${quote(text)}`)
      return number
    }
    case 'boolean':
      if (text !== 'true' && text !== 'false')
        throw refuse(`--${name} takes true or false, not ${quote(text)}`)
      return text === 'true'
    case 'json':
      try {
        return JSON.parse(text) as Json
      } catch (cause) {
        throw refuse(`--${name} takes JSON, not ${quote(text)}`, cause)
      }
    case 'string':
    case 'file':
      return text
    default:
      throw refuse(`--${name} takes ${describeType(type)}`)
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100))
}

function isOneFile({ base, dimensions }: PlanInput['type']): boolean {
  return base === 'file' && dimensions === 0
}
