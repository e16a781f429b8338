import { EnvironmentError, type CheckFinding } from '../environment.ts'
import type { Host } from '../host.ts'
import { runScript } from './host-script.ts'
import { inspectText } from './host-texts.ts'
import { messageOf } from '../../problem.ts'

const leastFreeBytes = 1024 ** 3
const mostClockDifferenceMs = 60_000

/** Whether the host answers and jobs' files can lie there: one finding for each thing that they need. */
export async function inspectHost(
  host: Host,
  base: () => Promise<string>,
  { newMark, now }: { readonly newMark: () => string; readonly now: () => number },
  signal: AbortSignal,
): Promise<readonly CheckFinding[]> {
  const reached = await reachHost(host, signal)
  if (!reached.isGood) return [reached]
  let place: string
  let answer: string
  try {
    place = await base()
    const script = { what: 'looking around', text: inspectText, below: place }
    answer = await runScript(host, script, newMark(), signal)
  } catch (error) {
    signal.throwIfAborted()
    const fix =
      'See that the host has bash 4 or newer and GNU tar, and that workDirectory names a directory that can be made there.'
    return [reached, finding('work directory', false, messageOf(error), fix)]
  }
  const [version = '', seconds = '', disk = '', writable = '', tar = ''] = answer.split('\n')
  const aheadMs = Number(seconds) * 1000 - now()
  const freeBytes = Number(/(\d+)\s+\d+%/.exec(disk)?.[1]) * 1024
  return [
    reached,
    finding(
      'shell',
      tar === 'tar',
      tar === 'tar'
        ? `bash ${version} runs jobs on ${host.name}.`
        : `bash ${version} is on ${host.name}, but no tar that runs.`,
      'Have tar installed there, where a login that is not interactive finds it.',
    ),
    finding(
      'work directory',
      writable === 'writable',
      writable === 'writable' ? `Jobs run below ${place}.` : `Nothing can be written below ${place}.`,
      'Set workDirectory to a directory that you may write to and that the computers of jobs see.',
    ),
    finding(
      'clock',
      Math.abs(aheadMs) <= mostClockDifferenceMs,
      `The clock there is ${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs < 0 ? 'behind' : 'ahead of'} the server's.`,
      'Set both clocks by NTP: times of jobs are compared.',
    ),
    finding(
      'disk',
      !(freeBytes < leastFreeBytes),
      Number.isFinite(freeBytes)
        ? `${(freeBytes / 1024 ** 3).toFixed(1)} GiB are free below ${place}.`
        : `Free space below ${place} is not told.`,
      'Free some space there, or set workDirectory to a larger disk.',
    ),
  ]
}

/** Whether any command can be run there at all: credentials, keys of hosts and the way there included. */
async function reachHost(host: Host, signal: AbortSignal): Promise<CheckFinding> {
  try {
    host.tryAgain?.()
    await host.run({ argv: ['true'] }, signal)
    return finding('host', true, `${host.name} answers and lets us in.`)
  } catch (error) {
    signal.throwIfAborted()
    const parts = error instanceof EnvironmentError ? error.parts : undefined
    const fix = 'See that the host is up and that `ssh` with the same options logs in without asking.'
    return finding('host', false, parts?.message ?? messageOf(error), parts?.fix ?? fix)
  }
}

function finding(what: string, isGood: boolean, message: string, fix?: string): CheckFinding {
  return { what, isGood, message, ...(!isGood && fix !== undefined && { fix }) }
}
