import type { AttemptEnding } from '../job/attempt-source.ts'
import type { JobResult } from './function-jobs.ts'
import { stderrTail } from './job-logs.ts'
import type { JobEnd } from './package.ts'

/** What an attempt came to that did not end well. `what` ran: 'command', 'function'. */
export async function describeBadEnd(what: string, ending: AttemptEnding): Promise<Omit<JobEnd, 'job'>> {
  switch (ending.kind) {
    case 'rejected':
      return { ...nothing, result: failure(`The environment refused the job: ${ending.message}`) }
    case 'lost':
    case 'given-back':
      return {
        ...nothing,
        isEnvironmentsFault: true,
        result: failure(`The environment lost the job: ${ending.message}`),
      }
    case 'stopped': {
      const { cause, message, collected } = ending
      const tail = await stderrTail(collected)
      return {
        ...nothing,
        isEnvironmentsFault: cause === 'preempted' || cause === 'node-failure',
        isCancelled: cause === 'cancelled',
        collected,
        result: failure(
          `The ${what} was stopped (${cause}): ${message}${inBrackets(collected?.remark)}${quoted(tail)}`,
          tail,
        ),
      }
    }
    case 'exited': {
      const { collected, exitCode } = ending
      const tail = await stderrTail(collected)
      const message = `The ${what} ended with exit code ${exitCode}${inBrackets(collected.remark)}${quoted(tail)}`
      return { ...nothing, exitCode, collected, result: failure(message, tail) }
    }
  }
}

const nothing = { exitCode: null, isEnvironmentsFault: false, isCancelled: false, collected: undefined }

function failure(message: string, stack = ''): JobResult {
  return { kind: 'failure', message, stack }
}

/** What an environment remarks on an end, behind what is told of it. */
export function inBrackets(remark: string | undefined): string {
  return remark === undefined ? '' : ` (${remark})`
}

/** Without the place in the file of ours that bash ran: it is long, and tells nobody anything. */
function quoted(tail: string): string {
  const said = tail.replaceAll(/^(?:\/\S*\/command|molehill): line \d+: (?:exec: )?/gm, '')
  return said === '' ? '' : `: ${said}`
}
