import type { ReportedResult } from './exchange.ts'
import type { FailureCause, Verdict } from './transitions.ts'

/** What the client's limits end says something about the work, not about the host. */
const limits: Readonly<Record<number, readonly [FailureCause, string]>> = {
  196: ['unknown', 'It needed more disk than the workunit may take.'],
  197: ['timeout', 'It ran longer than the workunit may.'],
  198: ['out-of-memory', 'It needed more memory than the host has for it.'],
}

const returned: Readonly<Record<number, string>> = {
  194: 'The client ended it.',
  200: 'The host did not begin before the deadline.',
  202: 'It was ended as the server had asked.',
  203: 'The volunteer ended it.',
  209: 'The host was late with it and ended it.',
}

const failures: Readonly<Record<number, string>> = {
  [-161]: 'it left no result',
  [-185]: 'it could not be started',
  [-186]: 'its files could not be fetched, or their signatures are wrong',
  [-187]: 'its result could not be sent',
  [-226]: 'it ended too often without a result',
  195: 'a part of it failed',
  205: 'the host had not enough memory',
  206: 'it could not be prepared',
}

const uploaded = 5
const toldCharacters = 400

/** What a host's report of a copy says: success needs both the state and the exit status. */
export function verdictOf({ state, exitStatus, stderr }: ReportedResult, host: string): Verdict {
  if (state === uploaded && exitStatus === 0) return { kind: 'success' }
  const limit = limits[exitStatus]
  if (limit !== undefined) return { kind: 'limited', cause: limit[0], message: `${host}: ${limit[1]}` }
  const why = returned[exitStatus]
  if (why !== undefined) return { kind: 'returned', cause: 'preempted', message: `${host}: ${why}` }
  const known = failures[exitStatus] ?? 'the client gave up'
  const told = /<message>([^]*?)<\/message>/.exec(stderr)?.[1]?.trim().slice(0, toldCharacters)
  return {
    kind: 'failed',
    cause: 'node-failure',
    message: `${host}: ${known} (exit status ${exitStatus}, state ${state})${told === undefined ? '.' : `: ${told}`}`,
  }
}
