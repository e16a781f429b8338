import { EnvironmentError, type CheckFinding, type Resources } from '../environment.ts'
import type { Host, HostCommand, HostResult } from '../host.ts'
import { bashCommand, lastLines } from '../job-files/host-script.ts'
import { isOneOf, type BatchQueue } from './queue.ts'
import type { Listing, Scheduler } from './scheduler.ts'
import { messageOf } from '../../problem.ts'

/** Commands of a scheduler whose server is down can hang for long. */
const timeoutMs = 60_000
/** A submission of many jobs may take its time, and one that is given up must be looked for. */
const submitTimeoutMs = 180_000
const fixOfOptions = 'Correct the options of the environment: molehill environment add --replace.'
/** What a check asks the scheduler about. */
const trial = { name: 'molehill-check', size: 1, directory: '/', logPath: '/dev/null' }
/** Most native ids in one command: far below the limit on the length of arguments. */
const mostIds = 2000

/**
 * A scheduler that is driven by commands on a host. What a login prints around them is left out of their answers, and
 * the C locale holds whatever the login sets. A check asks for a job that wants `defaults`.
 */
export function commandQueue(
  scheduler: Scheduler,
  host: Host,
  { newMark, defaults }: { readonly newMark: () => string; readonly defaults: Resources },
): BatchQueue {
  const run = (command: HostCommand, signal: AbortSignal): Promise<HostResult> =>
    runFramed(host, command, newMark(), signal)

  return {
    name: scheduler.name,
    hasAccounting: scheduler.account !== undefined,

    async submit(scriptPath, batch, signal) {
      const command = { timeoutMs: submitTimeoutMs, ...scheduler.submit(scriptPath, batch) }
      return scheduler.readSubmitted(await run(command, signal), batch)
    },

    async list(signal) {
      return scheduler.readList(await run({ priority: 'background', ...scheduler.list() }, signal))
    },

    async account(jobs, signal) {
      const known = new Map<string, Listing>()
      if (scheduler.account === undefined || scheduler.readAccount === undefined) return known
      for (const ids of slices(jobs.map(({ nativeId }) => nativeId))) {
        const answer = await run({ priority: 'background', ...scheduler.account(ids) }, signal)
        for (const [id, listing] of scheduler.readAccount(answer, isOneOf(jobs))) known.set(id, listing)
      }
      return known
    },

    async cancel(nativeIds, signal) {
      for (const ids of slices(nativeIds))
        scheduler.readCancelled(await run({ priority: 'urgent', ...scheduler.cancel(ids) }, signal))
    },

    async check(signal) {
      return [await checkScheduler(scheduler, defaults, (command) => run(command, signal), signal)]
    },
  }
}

async function checkScheduler(
  scheduler: Scheduler,
  defaults: Resources,
  run: (command: HostCommand) => Promise<HostResult>,
  signal: AbortSignal,
): Promise<CheckFinding> {
  const fix = `See that the commands of ${scheduler.name} work in a shell that is not interactive, and that its server runs.`
  try {
    const answer = await run(scheduler.check())
    const fault = scheduler.readCheck(answer)
    if (fault !== undefined)
      return {
        what: 'scheduler',
        isGood: false,
        message: fault,
        fix: answer.exitCode === 0 ? fixOfOptions : fix,
      }
    if (scheduler.verify === undefined || scheduler.readVerified === undefined)
      return { what: 'scheduler', isGood: true, message: `${scheduler.name} answers.` }
    const refusal = scheduler.readVerified(await run(scheduler.verify({ ...trial, resources: defaults })))
    return refusal === undefined
      ? {
          what: 'scheduler',
          isGood: true,
          message: `${scheduler.name} answers, and takes jobs with these options.`,
        }
      : {
          what: 'scheduler',
          isGood: false,
          message: `${scheduler.name} answers, but takes no jobs with these options: ${refusal}`,
          fix: fixOfOptions,
        }
  } catch (error) {
    signal.throwIfAborted()
    const message = messageOf(error)
    return { what: 'scheduler', isGood: false, message, fix }
  }
}

async function runFramed(
  host: Host,
  command: HostCommand,
  mark: string,
  signal: AbortSignal,
): Promise<HostResult> {
  const text = `printf '%s\\n' ${mark}-begin\n"$@"\nprintf '\\n%s %s\\n' ${mark}-end "$?"`
  const result = await host.run({ timeoutMs, ...command, argv: bashCommand(text, command.argv) }, signal)
  const begin = result.stdout.indexOf(`${mark}-begin\n`)
  const end = result.stdout.lastIndexOf(`\n${mark}-end `)
  if (begin < 0 || end < begin)
    throw new EnvironmentError(
      `${host.name}: the answer of ${command.argv[0]} is cut short. ${lastLines(result.stderr)}`.trim(),
    )
  const code = /-end (\d+)\n/.exec(result.stdout.slice(end))?.[1]
  return {
    ...result,
    exitCode: code === undefined ? null : Number(code),
    stdout: result.stdout.slice(begin + `${mark}-begin\n`.length, end),
  }
}

function slices(ids: readonly string[]): readonly (readonly string[])[] {
  const parts: (readonly string[])[] = []
  for (let at = 0; at < ids.length; at += mostIds) parts.push(ids.slice(at, at + mostIds))
  return parts
}
