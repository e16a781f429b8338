import { locateCaller, type SourceLocation } from './location.ts'

/** What a value holds. `file` travels as a path; `json` is anything JSON can say. */
export type BaseType = 'number' | 'integer' | 'string' | 'boolean' | 'file' | 'json'

/** A base type, or arrays of it: `dimensions` is 0 for a single one, 1 for an array, 2 for an array of arrays. */
export interface ValueType {
  readonly base: BaseType
  readonly dimensions: number
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** A named, typed variable that flows between tasks. The name ties producer and consumer together. */
export interface Value<Name extends string = string, T = unknown> {
  readonly kind: 'value'
  readonly name: Name
  readonly type: ValueType
  /** Used by a task when nothing before it brings the value. */
  readonly default: T | undefined
  readonly location: SourceLocation | undefined
  /** The array of this value: what an aggregation makes of it. */
  readonly array: Value<Name, T[]>
  /** The same value for the engine, with a narrower type for the compiler. Meant for `json` values. */
  as<U>(): Value<Name, U>
}

/** The object of values that a task function receives or returns: one property a value. */
export type ContextOf<Values extends readonly Value[]> = {
  [V in Values[number] as V['name']]: V extends Value<string, infer T> ? T : never
}

/** A number: an IEEE double, NaN and the infinities included. */
export function number<const Name extends string>(
  name: Name,
  options: { default?: number } = {},
): Value<Name, number> {
  return makeValue(name, { base: 'number', dimensions: 0 }, options.default)
}

/** A whole number that a double holds exactly. */
export function integer<const Name extends string>(
  name: Name,
  options: { default?: number } = {},
): Value<Name, number> {
  return makeValue(name, { base: 'integer', dimensions: 0 }, options.default)
}

export function string<const Name extends string>(
  name: Name,
  options: { default?: string } = {},
): Value<Name, string> {
  return makeValue(name, { base: 'string', dimensions: 0 }, options.default)
}

export function boolean<const Name extends string>(
  name: Name,
  options: { default?: boolean } = {},
): Value<Name, boolean> {
  return makeValue(name, { base: 'boolean', dimensions: 0 }, options.default)
}

/** A file. Function tasks see its absolute path; a default is a path in the work directory, which must exist. */
export function file<const Name extends string>(
  name: Name,
  options: { default?: string } = {},
): Value<Name, string> {
  return makeValue(name, { base: 'file', dimensions: 0 }, options.default)
}

/** Anything JSON can say; `json('fit').as<Fit>()` tells the compiler what. */
export function json<const Name extends string>(
  name: Name,
  options: { default?: Json } = {},
): Value<Name, Json> {
  return makeValue(name, { base: 'json', dimensions: 0 }, options.default)
}

export function isValue(candidate: unknown): candidate is Value {
  return (
    typeof candidate === 'object' && candidate !== null && 'kind' in candidate && candidate.kind === 'value'
  )
}

/** `number`, `integer[]` ... as error messages write it. */
export function describeType({ base, dimensions }: ValueType): string {
  return base + '[]'.repeat(dimensions)
}

function makeValue<Name extends string, T>(
  name: Name,
  type: ValueType,
  defaultValue: T | undefined,
  location = locateCaller(),
): Value<Name, T> {
  const value: Value<Name, T> = {
    kind: 'value',
    name,
    type,
    default: defaultValue,
    location,
    get array() {
      return makeValue<Name, T[]>(
        name,
        { base: type.base, dimensions: type.dimensions + 1 },
        undefined,
        location,
      )
    },
    as<U>() {
      return value as unknown as Value<Name, U>
    },
  }
  return value
}
