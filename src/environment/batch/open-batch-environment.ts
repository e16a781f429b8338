import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { EnvironmentError, type Environment } from '../environment.ts'
import type { Host } from '../host.ts'
import { openJobFiles } from '../job-files/open-job-files.ts'
import { LocalHost } from '../local-host.ts'
import type { PluginContext } from '../plugin.ts'
import { openSshHost } from '../ssh/ssh-hosts.ts'
import { batchEnvironment, type BatchEnvironmentOptions } from './batch-environment.ts'
import type { BatchOptions } from './batch-options.ts'
import { commandQueue } from './command-queue.ts'
import { moduleLines } from './module-lines.ts'
import { defaultResources } from './option-shapes.ts'
import { pilotEnvironment } from './pilot-environment.ts'
import type { BatchQueue } from './queue.ts'
import type { Scheduler } from './scheduler.ts'

/** What an environment may want otherwise. */
export interface BatchWays {
  /** Talks to the scheduler; its commands on the host where absent. */
  readonly queue?: BatchQueue
  /** Instead of the one that the options describe. */
  readonly host?: Host
  readonly limits?: Partial<BatchEnvironmentOptions>
}

/** The environment that a scheduler and options make: on this computer, or behind SSH where options name a host. */
export function openBatchEnvironment(
  name: string,
  scheduler: Scheduler,
  options: BatchOptions,
  context: PluginContext,
  ways: BatchWays = {},
): Environment {
  mkdirSync(context.directory, { recursive: true, mode: 0o700 })
  const newMark = () => `M${randomBytes(12).toString('hex')}x`
  const host = ways.host ?? openHost(options, scheduler.passedVariables ?? [], context)
  const files = openJobFiles(host, {
    base: options.workDirectory ?? (host.sharesFiles ? join(context.directory, 'host') : '~/.molehill'),
    directory: context.directory,
    prologue: [...moduleLines(options.modules), ...options.prologue],
    newMark,
    now: context.now,
  })
  const queue = ways.queue ?? commandQueue(scheduler, host, { newMark, defaults: defaultResources(options) })
  const { pollMs, maxQueued, submissionsPerMinute, stopGraceMs, lostAfter, pilots } = options
  const surroundings = { host, queue, scheduler, files, now: context.now, warn: context.warn }
  const limits = {
    maxQueued,
    submissionsPerMinute,
    stopGraceMs,
    ...(lostAfter !== undefined && { lostAfterOutageMs: lostAfter }),
    defaults: defaultResources(options),
    ...(pollMs !== undefined && {
      pollInterval: { minMs: pollMs.min, maxMs: pollMs.max, stepMs: Math.max(1, pollMs.min) },
    }),
    ...ways.limits,
  }
  if (pilots === undefined) return batchEnvironment(name, surroundings, limits)
  const { directory } = context
  return pilotEnvironment(name, { ...surroundings, directory, newMark }, pilots, limits)
}

function openHost(options: BatchOptions, own: readonly string[], context: PluginContext): Host {
  const { host, sharesFiles } = options
  if (host !== undefined) return openSshHost({ ...options, host }, sharesFiles ?? false, context)
  if (context.boxes?.owner !== undefined)
    throw new EnvironmentError(
      'The scheduler of this computer would run jobs as the user of the server, which --task-user forbids. Name a host, also this one: then jobs run as the user who logs in there.',
    )
  return new LocalHost({
    variables: passing(context.variables, own),
    ...(sharesFiles !== undefined && { sharesFiles }),
  })
}

/** What every command may need; some schedulers pass all of it on to jobs. No locale: it would become that of the jobs. */
const passed = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'TZ',
  'TMPDIR',
  'LD_LIBRARY_PATH',
  'PERL5LIB',
  'KRB5*',
]

function passing(variables: PluginContext['variables'], own: readonly string[]): Record<string, string> {
  const names = [...passed, ...own]
  const isPassed = (name: string): boolean =>
    names.some((each) => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : name === each))
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      value !== undefined && isPassed(name) ? [[name, value]] : [],
    ),
  )
}
