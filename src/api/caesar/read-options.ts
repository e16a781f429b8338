import type { PlanDescription, PlanInput } from '../../workflow/plan.ts'
import type { Json } from '../../workflow/value.ts'
import { isFlag, optionsOf } from './describe.ts'
import { isTooDeep } from './json-depth.ts'

export type ReadOptions =
  | {
      readonly kind: 'options'
      /** By the names of the inputs. Files are what the client called them: ids of uploads. */
      readonly values: Readonly<Record<string, Json>>
      /** Names that the app does not have. */
      readonly ignored: readonly string[]
    }
  | { readonly kind: 'refused'; readonly status: string }

/** Checks what a client has chosen against what an app declares, in the words of caesar-rest. */
export function readOptions(
  description: PlanDescription,
  given: Readonly<Record<string, unknown>>,
): ReadOptions {
  const options = optionsOf(description)
  const names = new Set(options.map(({ name }) => name))
  const values: [string, Json][] = []
  for (const option of options) {
    const { name } = option
    if (!Object.hasOwn(given, name)) {
      if (option.isMandatory || option.default === undefined)
        return { kind: 'refused', status: `Mandatory option ${name} not present!` }
      continue
    }
    const read = readOption(option, given[name])
    if ('refusal' in read) return { kind: 'refused', status: read.refusal }
    values.push([name, read.value])
  }
  const ignored = Object.keys(given).filter((name) => !names.has(name))
  return { kind: 'options', values: Object.fromEntries(values), ignored }
}

type ReadOption = { readonly value: Json } | { readonly refusal: string }

function readOption(option: PlanInput, given: unknown): ReadOption {
  const { name, minimum = -Infinity, maximum = Infinity, values } = option
  const value = isFlag(option) ? castFlag(given) : castValue(option, given)
  if (value === undefined)
    return {
      refusal: isFlag(option)
        ? `Failed to parse bool option ${name} (parsed value type is not a boolean)!`
        : `Failed to cast option ${name} to type <class '${typeName(option)}'> !`,
    }
  for (const each of Array.isArray(value) ? (value.flat(Infinity) as Json[]) : [value]) {
    if (values !== undefined && !values.includes(each))
      return { refusal: `Option ${name} value ${shown(each)} is not among valid enumerations!` }
    if (typeof each === 'number' && (each < minimum || each > maximum))
      return {
        refusal: `Option ${name} value ${shown(each)} is out of range [${bound(minimum)},${bound(maximum)}]!`,
      }
  }
  return { value }
}

function castFlag(given: unknown): boolean | undefined {
  if (typeof given === 'boolean') return given
  return given === 'true' ? true : given === 'false' ? false : undefined
}

/** A value of the type that the option has, from one of it or from a text that says it. */
function castValue({ type }: PlanInput, given: unknown): Json | undefined {
  if (type.dimensions > 0 || type.base === 'json') {
    const parsed = typeof given === 'string' ? parse(given) : (given as Json)
    return type.base === 'json' || Array.isArray(parsed) ? parsed : undefined
  }
  switch (type.base) {
    case 'integer':
    case 'number': {
      const number = typeof given === 'string' && /^\s*[+-]?[\d.]/.test(given) ? Number(given) : given
      if (typeof number !== 'number' || !Number.isFinite(number)) return undefined
      return type.base === 'integer' && !Number.isSafeInteger(number) ? undefined : number
    }
    case 'boolean':
      return castFlag(given)
    case 'string':
    case 'file':
      if (typeof given === 'string') return given
      return typeof given === 'number' ? String(given) : undefined
  }
}

function parse(text: string): Json | undefined {
  try {
    const parsed = JSON.parse(text) as Json
    return isTooDeep(parsed) ? undefined : parsed
  } catch {
    return undefined
  }
}

/** As Python calls them, since that is what clients know. */
function typeName({ type }: PlanInput): string {
  if (type.dimensions > 0) return 'list'
  return { integer: 'int', number: 'float', string: 'str', file: 'str', boolean: 'bool', json: 'dict' }[
    type.base
  ]
}

function bound(value: number): string {
  return Number.isFinite(value) ? String(value) : ''
}

function shown(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}
