import type { Json, ValueType } from './value.ts'

/**
 * The values a job receives or returns. File values are paths relative to the execution: `work/...` in its work
 * directory, `files/...` among the files its jobs have made. Numbers may be NaN or infinite.
 */
export type Context = Readonly<Record<string, Json>>

const marker = '$number'

/** JSON text of a context or any part of one. NaN and the infinities, which JSON lacks, are `{"$number":"NaN"}` ... */
export function encodeJson(value: Json): string {
  return JSON.stringify(isPlain(value) ? value : mark(value))
}

/** The value that `encodeJson` wrote. */
export function decodeJson(text: string): Json {
  if (!text.includes(`"${marker}"`)) return JSON.parse(text) as Json
  return JSON.parse(text, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && marker in value ? Number(value[marker]) : value,
  ) as Json
}

/** Why `value` is not of `type`, in words that follow "expected"; or undefined when it is. */
export function mismatch(value: unknown, type: ValueType): string | undefined {
  if (type.dimensions > 0) {
    const element = { ...type, dimensions: type.dimensions - 1 }
    if (!Array.isArray(value)) return `an array, got ${describe(value)}`
    for (const [index, each] of value.entries()) {
      const found = mismatch(each, element)
      if (found !== undefined) return `${found} at index ${index}`
    }
    return undefined
  }
  switch (type.base) {
    case 'number':
      return typeof value === 'number' ? undefined : `a number, got ${describe(value)}`
    case 'integer':
      return Number.isSafeInteger(value) ? undefined : `a whole number, got ${describe(value)}`
    case 'string':
      return typeof value === 'string' ? undefined : `a string, got ${describe(value)}`
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `true or false, got ${describe(value)}`
    case 'file':
      return typeof value === 'string' && value !== ''
        ? undefined
        : `the path of a file, got ${describe(value)}`
    case 'json':
      return isJson(value) ? undefined : `what JSON can say, got ${describe(value)}`
  }
}

function describe(value: unknown): string {
  if (value === undefined || value === null || typeof value === 'number') return String(value)
  if (Array.isArray(value)) return `an array of ${value.length}`
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : typeof value
}

function isJson(value: unknown, depth = 0): boolean {
  if (depth > 100) return false
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true
  if (Array.isArray(value)) return value.every((each) => isJson(each, depth + 1))
  if (typeof value !== 'object') return false
  const prototype: unknown = Object.getPrototypeOf(value)
  // Data that crossed from another thread or process has the Object of that place.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false
  return Object.values(value).every((each) => isJson(each, depth + 1))
}

function isPlain(value: Json): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  const parts: readonly Json[] = Array.isArray(value) ? value : Object.values(value)
  return parts.every((part) => isPlain(part))
}

function mark(value: Json): Json {
  if (typeof value === 'number') return Number.isFinite(value) ? value : { [marker]: String(value) }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((part: Json) => mark(part))
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, mark(part)]))
}
