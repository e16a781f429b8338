import { mismatch, type Context } from './context.ts'
import type { PlanDescription, PlanInput } from './plan.ts'
import type { Json } from './value.ts'

/** Why a value is refused for an input, as a sentence; undefined when it is taken. */
export function checkInput(input: PlanInput, value: unknown): string | undefined {
  const found = mismatch(value, input.type)
  if (found !== undefined) return `${input.name}: expected ${found}.`
  for (const each of elementsOf(value as Json)) {
    const problem = checkElement(input, each)
    if (problem !== undefined) return problem
  }
  return undefined
}

/** Names that are no inputs: whoever sends thousands is told of the first ones. */
const mostTold = 20

/** What a start gives of a described workflow: all inputs by name, defaults filled in; or all that is wrong with it. */
export function readInputs(
  { inputs }: PlanDescription,
  given: Readonly<Record<string, unknown>>,
):
  | { readonly kind: 'inputs'; readonly inputs: Context }
  | { readonly kind: 'problems'; readonly problems: readonly string[] } {
  const problems: string[] = []
  const read: Record<string, Json> = {}
  for (const input of inputs) {
    const { name } = input
    const value = Object.hasOwn(given, name) ? given[name] : undefined
    if (value === undefined) {
      if (input.default !== undefined && !input.isMandatory) read[name] = input.default
      else problems.push(`${name}: it must be given.`)
      continue
    }
    const problem = checkInput(input, value)
    if (problem === undefined) read[name] = value as Json
    else problems.push(problem)
  }
  const names = inputs.map(({ name }) => name)
  const strangers = Object.keys(given).filter((name) => !names.includes(name))
  for (const stranger of strangers.slice(0, mostTold))
    problems.push(
      `${stranger.slice(0, 100)}: there is no such input; there are ${names.join(', ') || 'none'}.`,
    )
  if (strangers.length > mostTold) problems.push(`There are ${strangers.length - mostTold} more such names.`)
  return problems.length > 0 ? { kind: 'problems', problems } : { kind: 'inputs', inputs: read }
}

function checkElement(
  { name, minimum, maximum, values, formats }: PlanInput,
  value: Json,
): string | undefined {
  if (values !== undefined && !values.some((each) => JSON.stringify(each) === JSON.stringify(value)))
    return `${name}: expected one of ${values.map((each) => JSON.stringify(each)).join(', ')}, got ${JSON.stringify(value)}.`
  if (typeof value === 'number') {
    if (Number.isNaN(value) && (minimum !== undefined || maximum !== undefined))
      return `${name}: expected a number, got NaN.`
    if (minimum !== undefined && value < minimum)
      return `${name}: expected at least ${minimum}, got ${value}.`
    if (maximum !== undefined && value > maximum) return `${name}: expected at most ${maximum}, got ${value}.`
  }
  if (typeof value === 'string' && formats.length > 0) {
    const ending = value.slice(value.lastIndexOf('.') + 1).toLowerCase()
    if (!value.includes('.') || !formats.some((format) => format.toLowerCase() === ending))
      return `${name}: expected a file that ends in ${formats.map((format) => `.${format}`).join(', ')}, got ${JSON.stringify(value)}.`
  }
  return undefined
}

function elementsOf(value: Json): readonly Json[] {
  return Array.isArray(value) ? value.flatMap((each: Json) => elementsOf(each)) : [value]
}
