import { z } from 'zod'
import type { Resources } from '../environment.ts'

/*
 * Shapes of options that batch schedulers share. What a script says becomes lines of job scripts and words of
 * commands: no value may hold a line break or another control character.
 */

/** Text on one line that holds something. */
export const oneLine = z
  .string()
  .trim()
  .min(1, { error: 'expected text, but it is empty' })
  .max(1000)
  .regex(/^\P{Cc}*$/u, { error: 'expected one line without control characters' })

/** What schedulers call a partition, queue, account and the like: no spaces, commas, quotes or options. */
export const schedulerName = oneLine.regex(/^[A-Za-z0-9_][A-Za-z0-9_.@:/+-]*$/, {
  error: 'expected a name of letters, digits and _ . @ : / + -',
})

/** One text, or a list of them. */
export function oneOrMany<Shape extends z.ZodType>(shape: Shape) {
  return z
    .union([shape, z.array(shape).max(100)])
    .transform((value) => (Array.isArray(value) ? value : [value]) as z.output<Shape>[])
}

const unitsMs: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * How long a job may run, in milliseconds. As text: `90 min`, `2 h`, `1.5 d`, `30 s`, or as schedulers write it:
 * `MM:SS`, `HH:MM:SS`, `D-HH:MM:SS`. A number is milliseconds already.
 */
export const duration = z
  .union([z.int().min(1), oneLine])
  .transform((value, context) => (typeof value === 'number' ? value : (readDuration(value) ?? fail(context))))

/** A duration of which a few milliseconds make no sense: who writes a bare number may mean minutes. */
export const longDuration = duration.refine((ms) => ms >= 1000, {
  error: 'expected at least 1 s, such as "30 min"; a number without a unit is milliseconds',
})

/** A size of memory in bytes. As text: `512 MB`, `4 GB`, `4G`, `4096M`; units are powers of 1024, as schedulers count. */
export const memory = z
  .union([z.int().min(1), oneLine])
  .transform((value, context) => (typeof value === 'number' ? value : (readMemory(value) ?? fail(context))))

function fail(context: z.RefinementCtx): never {
  context.addIssue({
    code: 'custom',
    message: 'expected a number with its unit, such as "90 min", "2:00:00" or "4 GB"',
  })
  return z.NEVER
}

function readDuration(text: string): number | undefined {
  const clock = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)$/.exec(text)
  if (clock !== null) {
    const [days, hours, minutes, seconds] = clock.slice(1).map((part) => Number(part ?? 0))
    return positive((((days! * 24 + hours!) * 60 + minutes!) * 60 + seconds!) * 1000)
  }
  const [, number, unit] =
    /^(\d+(?:\.\d+)?)\s*(s|sec|seconds?|min|minutes?|h|hours?|d|days?)$/i.exec(text) ?? []
  if (number === undefined || unit === undefined) return undefined
  const key = unit.toLowerCase().startsWith('min') ? 'min' : unit[0]!.toLowerCase()
  return positive(Math.round(Number(number) * unitsMs[key]!))
}

function readMemory(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT])i?B?$/i.exec(text) ?? []
  if (number === undefined || unit === undefined) return undefined
  return positive(Math.round(Number(number) * 1024 ** ('KMGT'.indexOf(unit.toUpperCase()) + 1)))
}

function positive(value: number): number | undefined {
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/** Lines that are added to the top of every job script, after ours: one option each, such as `--mail-type=END`. */
export function extraDirectives(isFit: (line: string) => boolean, expected: string) {
  return z
    .array(oneLine.refine(isFit, { error: `expected ${expected}` }))
    .max(100)
    .default([])
}

/** The options in a line of them, without what stands in quotes: schedulers take several in one line. */
export function optionsIn(line: string): readonly string[] {
  const words = line.replaceAll(/"[^"]*"|'[^']*'/g, 'x').split(/\s+/)
  return words.filter((word) => word.startsWith('-'))
}

/** Environment modules that are loaded before the job's command. */
export const modules = z.array(schedulerName).max(100).default([])

/** What every batch environment offers for jobs that ask for nothing themselves. */
export const defaultsShape = {
  cpus: z.int().min(1).max(100_000).optional(),
  // Schedulers count in megabytes, and so may who writes a bare number.
  memory: memory
    .refine((bytes) => bytes >= 2 ** 20, {
      error: 'expected at least 1 MB, such as "4 GB"; a number without a unit is bytes',
    })
    .optional(),
  gpus: z.int().min(0).max(10_000).optional(),
  nodes: z.int().min(1).max(100_000).optional(),
  time: longDuration.optional(),
}

/** What a job gets that asks for nothing itself. */
export function defaultResources(options: {
  readonly cpus?: number | undefined
  readonly memory?: number | undefined
  readonly gpus?: number | undefined
  readonly nodes?: number | undefined
  readonly time?: number | undefined
}): Resources {
  const { cpus, memory, gpus, nodes, time } = options
  return {
    ...(cpus !== undefined && { cpus }),
    ...(memory !== undefined && { memoryBytes: memory }),
    ...(gpus !== undefined && { gpus }),
    ...(nodes !== undefined && { nodes }),
    ...(time !== undefined && { wallTimeMs: time }),
  }
}
