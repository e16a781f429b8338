import { z } from 'zod'
import { formatBytes, formatDuration, parseBytes, parseDuration } from './quantity.ts'

/** One way to write values of options, the same in flags, variables and the file. */
export interface OptionKind<Value> {
  readonly name: 'text' | 'path' | 'switch' | 'number' | 'bytes' | 'duration' | 'choice'
  /** What a right value looks like: goes behind "Expected ". */
  readonly expected: string
  /** Reads what a flag, a variable or the file holds. */
  readonly schema: z.ZodType<Value>
  /** Spells a value so that `schema` reads it back. */
  show(value: Value): string
}

export const text: OptionKind<string> = {
  name: 'text',
  expected: 'a text',
  schema: z.string().min(1).max(4096),
  show: (value) => value,
}

export const path: OptionKind<string> = {
  name: 'path',
  expected: 'a path',
  schema: z
    .string()
    .min(1)
    .max(4096)
    .refine((value) => !value.includes('\0')),
  show: (value) => value,
}

/** Where a dialect's paths begin: segments that need no escapes, and no placeholder. */
export const mountPath: OptionKind<`/${string}`> = {
  name: 'text',
  expected: 'a path such as /caesar/api/v1.0, without a slash at its end',
  schema: z
    .string()
    .max(256)
    .regex(/^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/)
    .transform((path) => path as `/${string}`),
  show: (value) => value,
}

const yes = ['true', 'yes', 'on', '1']
const no = ['false', 'no', 'off', '0']

/** On or off. As a flag it stands alone: `--http`, `--no-http`. */
export const onOff: OptionKind<boolean> = {
  name: 'switch',
  expected: 'true or false',
  schema: z.union([
    z.boolean(),
    z
      .string()
      .toLowerCase()
      .pipe(z.enum([...yes, ...no]))
      .transform((word) => yes.includes(word)),
  ]),
  show: String,
}

interface Limits {
  readonly minimum: number
  readonly maximum: number
}

export function number({ minimum, maximum }: Limits): OptionKind<number> {
  return {
    name: 'number',
    expected: `a whole number from ${minimum} to ${maximum}`,
    schema: z
      .union([
        z.number(),
        z
          .string()
          .regex(/^\d{1,16}$/)
          .transform(Number),
      ])
      .pipe(z.int().min(minimum).max(maximum)),
    show: String,
  }
}

export function bytes({ minimum, maximum }: Limits): OptionKind<number> {
  return {
    name: 'bytes',
    expected: `a size such as 512M or 2GiB, from ${formatBytes(minimum)} to ${formatBytes(maximum)}`,
    schema: quantity(parseBytes).pipe(z.int().min(minimum).max(maximum)),
    show: formatBytes,
  }
}

export function duration({ minimum, maximum }: Limits): OptionKind<number> {
  return {
    name: 'duration',
    expected: `a time span such as 30s or 24h, from ${formatDuration(minimum)} to ${formatDuration(maximum)}`,
    schema: quantity(parseDuration).pipe(z.int().min(minimum).max(maximum)),
    show: formatDuration,
  }
}

export function choice<const Word extends string>(words: readonly Word[]): OptionKind<Word> {
  return {
    name: 'choice',
    expected: `one of ${words.join(', ')}`,
    schema: z.enum(words),
    show: (value) => value,
  }
}

function quantity(parse: (text: string) => number | undefined) {
  return z.union([z.number(), z.string().transform((written) => parse(written) ?? Number.NaN)])
}
