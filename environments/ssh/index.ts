import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { longDuration } from '../../src/environment/batch/option-shapes.ts'
import { openJobFiles } from '../../src/environment/job-files/open-job-files.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { Runner } from '../../src/environment/runner/runner.ts'
import { RunnerEnvironment } from '../../src/environment/runner/runner-environment.ts'
import { sshOperatorOnly, sshOptionsShape, sshSecrets } from '../../src/environment/ssh/options.ts'
import { openSshHost } from '../../src/environment/ssh/ssh-hosts.ts'

const options = z.strictObject({
  ...sshOptionsShape,
  /** How many jobs run at once; a job that asks for n cpus takes n of them. */
  slots: z.int().min(1).max(4096).default(4),
  /** Where files of jobs lie on the host. Default: ~/.molehill, or a directory of the server where files are shared. */
  workDirectory: z
    .string()
    .regex(/^(?:~|~\/[^\0\r\n]*|\/[^\0\r\n]*)$/, 'expected an absolute path, or one that begins with ~/')
    .optional(),
  /** Whether the host sees the server's files at the same paths, so that nothing has to travel. */
  sharesFiles: z.boolean().default(false),
  /** How long a job may go on after it was asked to end; then it is killed. */
  stopGraceMs: z.int().min(0).max(3_600_000).default(10_000),
  /** How long what runs jobs stays on the host without any. */
  idleMs: z.int().min(1000).max(86_400_000).default(600_000),
  /** Jobs of a host that gave no answer for so long count as lost and are tried again; without it they wait. */
  lostAfter: longDuration.optional(),
  /** Bash lines that every job reads before its command, such as `module load`. */
  prologue: z
    .array(z.string().regex(/^[^\0\r\n]*$/))
    .max(100)
    .default([]),
})

export type SshEnvironmentOptions = z.output<typeof options>

/** A computer behind SSH: jobs run there in so many slots, and go on while the server is away. */
export const plugin: EnvironmentPlugin<SshEnvironmentOptions> = {
  kind: 'ssh',
  options,
  secrets: sshSecrets,
  operatorOnly: sshOperatorOnly,
  async create(name, options, context) {
    const { sharesFiles, slots, stopGraceMs, idleMs, lostAfter, prologue } = options
    mkdirSync(context.directory, { recursive: true, mode: 0o700 })
    const shared = join(context.directory, 'host')
    const host = openSshHost(options, sharesFiles, context)
    const newMark = () => `M${randomBytes(12).toString('hex')}x`
    const files = openJobFiles(host, {
      base: options.workDirectory ?? (sharesFiles ? shared : '~/.molehill'),
      directory: context.directory,
      prologue,
      newMark,
      now: context.now,
    })
    const identity = createHash('sha256').update(context.directory).digest('hex')
    const workers = new Runner(host, files, {
      name: identity.slice(0, 16),
      slots,
      stopGraceMs,
      idleMs,
      newMark,
    })
    return new RunnerEnvironment(name, {
      host,
      files,
      workers,
      maxActiveJobs: Math.max(2000, slots * 4),
      ...(lostAfter !== undefined && { lostAfterOutageMs: lostAfter }),
      pollInterval: { minMs: 2000, maxMs: 30_000, stepMs: 2000 },
      stopGraceMs,
      now: context.now,
      warn: context.warn,
    })
  },
}
