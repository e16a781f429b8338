import { setTimeout } from 'node:timers/promises'
import { Problem } from '../../problem.ts'
import type { Watched } from '../screen/follow.ts'
import type { Progress } from '../screen/progress.ts'
import { outputAnswer, stateAnswer, type StateAnswer } from './answers.ts'
import type { Session } from './session.ts'

const shortestPauseMs = 200
/** The server sends all of the output each time: the longer it is, the rarer it is asked for. */
const lettersPerLook = 256 * 1024

export interface WatchOptions {
  readonly signal: AbortSignal
  /** Tells a person something. */
  readonly say: (message: string) => void
  /** Between two looks at an execution that takes long, and between two tries while the server is away. */
  readonly longestPauseMs?: number
}

/** How long a server may be away, for a restart, before watching gives up. */
const awayMs = 60_000

/** An execution on a server, to be watched. Outlasts a restart of the server. */
export function watchRemotely(
  session: Session,
  id: string,
  { signal, say, longestPauseMs = 2000 }: WatchOptions,
): Watched {
  let pauseMs = shortestPauseMs
  let text = ''
  let looksToSkip = 0
  const call: Session['call'] = (route, parameters, schema) =>
    persistently(() => session.call(route, parameters, schema, signal), { signal, say, longestPauseMs })
  return {
    progress: async () => readProgress(await call('state', { id }, stateAnswer)),
    async output(hasEnded) {
      looksToSkip -= 1
      if (hasEnded || looksToSkip < 0) {
        text = (await call('output', { id, running: 'false' }, outputAnswer)).output
        looksToSkip = Math.floor(text.length / lettersPerLook)
      }
      return text
    },
    async wait() {
      await setTimeout(pauseMs, undefined, { signal })
      pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)
    },
  }
}

/** What of an answer to `/state` the bars show. */
export function readProgress({ state, capsules, error }: StateAnswer): Progress {
  return {
    state,
    capsules: capsules.flatMap((each) =>
      Object.entries(each).map(([name, counts]) => Object.assign(counts, { name })),
    ),
    error,
  }
}

async function persistently<Value>(
  ask: () => Promise<Value>,
  { signal, say, longestPauseMs }: Required<WatchOptions>,
): Promise<Value> {
  let leftMs = awayMs
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const isAway =
        error instanceof Problem && (error.code === 'server-unreachable' || error.code === 'server-busy')
      if (!isAway || leftMs <= 0) throw error
      if (leftMs === awayMs) say(`${error.message} Trying again for a minute.`)
      leftMs -= longestPauseMs
      await setTimeout(longestPauseMs, undefined, { signal })
    }
  }
}
