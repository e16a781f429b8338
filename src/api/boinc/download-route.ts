import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { z } from 'zod'
import { isMissing, type OpenedInside } from '../../files/safe-open.ts'
import { Problem } from '../../problem.ts'
import { parseByteRange } from '../byte-range.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import { sendFile } from '../send-file.ts'
import { fileNamePattern } from './file-name.ts'
import type { VolunteerParts } from './parts.ts'

/** Programs and inputs. To clients 4xx is for ever, and the task fails: what may come back is 503. */
export function downloadRoute({ volunteers }: VolunteerParts): Route {
  return rawRoute({
    method: 'GET',
    path: '/download/:name',
    access: 'open',
    summary: 'A file that a host was told to fetch.',
    parameters: z.object({}),
    problems: ['file-missing', 'server-busy'],
    answer: { status: 200, description: 'The file, or the part that Range names.' },
    async handle(call) {
      const { name = '' } = call.path
      const file = fileNamePattern.test(name) ? await volunteers.downloadOf(name) : undefined
      if (file === undefined)
        throw new Problem('file-missing', 'There is no such file, or nobody needs it any more.')
      const opened = await openFile(file.path)
      return await sendFile(opened, false, withoutEncoding(call, opened.stats.size))
    },
  })
}

async function openFile(path: string): Promise<OpenedInside> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    return { handle, stats: await handle.stat(), path }
  } catch (cause) {
    if (!isMissing(cause)) throw cause
    throw new Problem('server-busy', 'The file is not there now.', { cause, retryAfterSeconds: 60 })
  }
}

/** Clients cannot undo an encoding of every file; a range behind the end means that they have all of it. */
function withoutEncoding(call: Call, sizeBytes: number): Call {
  const isBehind = parseByteRange(call.header('range'), sizeBytes) === 'unsatisfiable'
  return {
    ...call,
    header(name) {
      const isLeftOut = name === 'accept-encoding' || (name === 'range' && isBehind)
      return isLeftOut ? undefined : call.header(name)
    },
  }
}
