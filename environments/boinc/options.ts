import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { defaultsShape, duration, memory, oneLine } from '../../src/environment/batch/option-shapes.ts'

const { cpus, memory: jobMemory, time } = defaultsShape

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/** Platforms on which the launcher runs: those of BOINC with a POSIX shell and Linux's /proc. */
const platforms = [
  'x86_64-pc-linux-gnu',
  'aarch64-unknown-linux-gnu',
  'i686-pc-linux-gnu',
  'arm-unknown-linux-gnueabihf',
] as const
const platform = z.enum(platforms, { error: `expected one of ${platforms.join(', ')}` })

const absolutePath = z
  .string()
  .refine((path) => isAbsolute(path) && !path.includes('\0'), { error: 'expected an absolute path' })

const tolerance = z.number().min(0).max(1)

const agree = z
  .strictObject({
    /** Of the larger of two numbers. */
    relative: tolerance.default(0),
    absolute: z.number().min(0).default(0),
  })
  .refine(({ relative, absolute }) => relative > 0 || absolute > 0, {
    error: 'expected how much numbers may differ, such as { relative: 1e-6 }',
  })

const shape = {
  /** How many hosts must send the same result. */
  quorum: z.int().min(1).max(10).default(1),
  /** To how many hosts a job goes at first; `quorum` without it. */
  copies: z.int().min(1).max(20).optional(),
  /** To how many hosts it may go in all. */
  maxCopies: z.int().min(1).max(100).optional(),
  /** So many of them that fail end the job. */
  maxErrors: z.int().min(1).max(100).default(3),
  /** Whether all copies go to hosts with the same operating system and kind of processor. */
  homogeneous: z.boolean().default(false),
  /** How much numbers in results may differ that count as the same. */
  agree: agree.optional(),
  /** How long a host has for a job, or a bundle of them, before it is given to another. */
  deadline: duration.default(7 * dayMs),

  /** How many jobs go to a host together, which runs them one after the other. Without it, as many as are short. */
  by: z.int().min(1).max(1000).optional(),
  /** How long a job takes on a usual host, until it is known better. */
  usualTime: duration.default(5 * minuteMs),

  /** Where commands may run. Functions run where the server's own kind of platform is, and those of `nodePrograms`. */
  platforms: z
    .array(platform)
    .min(1)
    .max(platforms.length)
    .default(['x86_64-pc-linux-gnu', 'aarch64-unknown-linux-gnu']),
  /** Node for functions on other platforms than the server's: paths on the server. */
  nodePrograms: z.partialRecord(platform, absolutePath).default({}),

  cpus,
  memory: jobMemory,
  time,
  /** What a job may write, with the files that it is given. */
  disk: memory.default(2 * 1024 ** 3),
  /** Largest archive of results that a host may send. */
  results: memory.default(256 * 1024 ** 2),
  /** Variables of every job. */
  variables: z.record(oneLine.regex(/^[^=]+$/), z.string().regex(/^[^\0]*$/)).default({}),

  /** Most jobs of this server that wait or run there. */
  maxActiveJobs: z.int().min(1).max(1_000_000).default(10_000),
}

export const boincOptions = z.strictObject(shape).superRefine((options, context) => {
  const { quorum, copies = quorum, maxCopies } = options
  const refuse = (path: keyof typeof shape, message: string) => {
    context.addIssue({ code: 'custom', path: [path], message })
  }
  if (copies < quorum) refuse('copies', `expected at least ${quorum}, the quorum`)
  if (maxCopies !== undefined && maxCopies < copies)
    refuse('maxCopies', `expected at least ${copies}, the copies`)
})

export type BoincOptions = z.output<typeof boincOptions>

/** Names of the options that would let scripts send files of the server to others. */
export const boincOperatorOnly: readonly string[] = ['nodePrograms']
