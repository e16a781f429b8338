import type { StopCause } from '../../src/environment/environment.ts'
import type { Listing } from '../../src/environment/batch/scheduler.ts'
import type { PbsFlavour } from './options.ts'

/** What `job_state` means, with the other attributes of `qstat -f` beside it: qstat(1B). */
export function listingOf(attributes: Readonly<Record<string, string>>, flavour: PbsFlavour): Listing {
  const state = attributes['job_state'] ?? ''
  switch (state) {
    case 'Q':
    case 'W':
    case 'T':
    case 'M':
      return queued(attributes['comment'])
    case 'H':
      return queued(attributes['comment'] ?? 'held')
    case 'R':
    case 'E':
    case 'S':
    case 'U':
      return running(attributes['exec_host'])
    // F and X of PBS Pro, whose history remembers; C of Torque, for a few minutes.
    case 'F':
    case 'X':
    case 'C':
      return ended(attributes, flavour)
    default:
      return { kind: 'unclear', message: `The state ${JSON.stringify(state)} of PBS is not known.` }
  }
}

function queued(reason: string | undefined): Listing {
  return { kind: 'queued', ...(reason !== undefined && { reason }) }
}

function running(place: string | undefined): Listing {
  // node1/0*2+node2/0*2: the first is where the script runs.
  const host = place?.split(/[/+]/, 1)[0]
  return { kind: 'running', ...(host !== undefined && host !== '' && { host }) }
}

/** Codes below zero: PBS ended the job, or could not run it. */
const codes: Readonly<Record<PbsFlavour, Readonly<Record<number, StopCause>>>> = {
  pbspro: { [-26]: 'out-of-memory', [-27]: 'out-of-memory', [-28]: 'timeout', [-29]: 'timeout' },
  torque: { [-10]: 'out-of-memory', [-11]: 'timeout' },
}

const words: Readonly<Partial<Record<StopCause, string>>> = {
  timeout: 'ran longer than it had asked for',
  'out-of-memory': 'needed more memory than it had asked for',
}

function ended(attributes: Readonly<Record<string, string>>, flavour: PbsFlavour): Listing {
  const status = attributes['exit_status']
  // Deleted, says PBS Pro.
  if (attributes['substate'] === '91') return stopped('cancelled', 'was deleted')
  if (status === undefined || !/^-?\d+$/.test(status)) return { kind: 'ended' }
  const code = Number(status)
  if (code < 0) {
    const cause = codes[flavour][code] ?? 'unknown'
    const comment = attributes['comment']
    return stopped(
      cause,
      words[cause] ?? `could not be run: exit status ${code}${comment === undefined ? '' : `, ${comment}`}`,
    )
  }
  if (code > 256) return stopped('signal', `was ended by signal ${code - 256}`)
  return { kind: 'ended', exitCode: code }
}

function stopped(cause: StopCause, text: string): Listing {
  return { kind: 'stopped', cause, message: `The job ${text} (PBS).` }
}
