import { z } from 'zod'
import { sshOptionsShape, sshSecrets } from '../ssh/options.ts'
import { defaultBatchOptions } from './batch-environment.ts'
import { defaultsShape, longDuration, modules } from './option-shapes.ts'
import { pilotOptions } from './pilot-options.ts'

/** What every environment with a batch scheduler takes, besides what only its scheduler knows. */
export const batchOptionsShape = {
  ...sshOptionsShape,
  /** Where the scheduler's commands are; without it, on the server's own computer. */
  host: sshOptionsShape.host.optional(),
  /**
   * Where files of jobs lie on the host; every node must see it at the same path. Default: `~/.molehill` behind SSH,
   * else a directory of the server.
   */
  workDirectory: z
    .string()
    .regex(
      /^(?:~|~\/[^\0\r\n"\\]*|\/[^\0\r\n"\\]*)$/,
      'expected an absolute path, or one that begins with ~/',
    )
    .optional(),
  /** Whether the cluster sees the server's files at the same paths. Default: only where there is no `host`. */
  sharesFiles: z.boolean().optional(),
  ...defaultsShape,
  /** Environment modules that are loaded before a job's command. */
  modules,
  /** Bash lines that every job reads before its command. */
  prologue: z
    .array(z.string().regex(/^[^\0\r\n]*$/))
    .max(100)
    .default([]),
  /** Most jobs of this server in the queue or running. */
  maxQueued: z.int().min(1).max(1_000_000).default(defaultBatchOptions.maxQueued),
  submissionsPerMinute: z.int().min(1).max(60_000).default(defaultBatchOptions.submissionsPerMinute),
  /** How long a job may go on after it was asked to end; then it is killed. */
  stopGraceMs: z.int().min(0).max(3_600_000).default(defaultBatchOptions.stopGraceMs),
  /** Jobs of a host that gave no answer for so long count as lost and are tried again; without it they wait. */
  lostAfter: longDuration.optional(),
  /** Few batch jobs that run many jobs each, instead of one batch job for each. */
  pilots: pilotOptions.optional(),
  /** How soon and how rarely the scheduler is asked; it is asked less often while nothing changes. */
  pollMs: z
    .strictObject({ min: z.int().min(100).max(600_000), max: z.int().min(100).max(3_600_000) })
    .refine(({ min, max }) => min <= max, { error: 'min must not be more than max' })
    .optional(),
}

/** Names of the options that are secret. */
export const batchSecrets = sshSecrets

const shape = z.object(batchOptionsShape)
export type BatchOptions = z.output<typeof shape>

const onlyBehindSsh = ['user', 'port', 'identityFile', 'jump', 'password', 'passphrase'] as const
const notWithPilots = ['nodes', 'tasks'] as const

/** Refuses options that would silently do nothing: those of SSH where no host is named, nodes of pilots. */
export function refuseOptionsInVain(
  options: Readonly<Record<string, unknown>>,
  context: z.core.$RefinementCtx,
): void {
  for (const name of notWithPilots)
    if (options['pilots'] !== undefined && options[name] !== undefined)
      context.addIssue({
        code: 'custom',
        path: [name],
        message: 'has no meaning beside pilots: each has one node',
      })
  if (options['host'] !== undefined) return
  for (const name of onlyBehindSsh)
    if (options[name] !== undefined)
      context.addIssue({ code: 'custom', path: [name], message: 'needs the option host beside it' })
}
