import type { Readable } from 'node:stream'
import { z } from 'zod'
import { Problem, toProblem } from '../../problem.ts'
import { replyToUnreadable, replyToWait } from '../../volunteers/protocol/refusals.ts'
import { createReplyWriter } from '../../volunteers/protocol/write-reply.ts'
import { bodyTooLarge, readBytes } from '../read-body.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import type { VolunteerParts } from './parts.ts'
import { findSender } from './volunteer-limits.ts'

/** One result brings up to 63 KB of what was printed, and a thousand may be reported at a time. */
const mostRequestBytes = 64 * 2 ** 20
/** Requests up to here are read whenever they come; of larger ones a few at a time, since memory holds them. */
const smallRequestBytes = 256 * 1024
const mostLargeRequests = 4
/** How long clients stay away when nothing says how long. */
const waitSeconds = 60
const internalWaitSeconds = 300

/** Where clients come for work and report what they have done. Whatever is wrong, the answer is a reply of the protocol. */
export function schedulerRoute(parts: VolunteerParts): Route {
  const { volunteers, settings, idleMs, limits, accountOf, warn } = parts
  const write = createReplyWriter(settings)
  let largeRequests = 0

  const tell = ({ code, message, retryAfterSeconds = waitSeconds }: Problem): Response => {
    if (code === 'body-invalid' || code === 'body-too-large')
      return respond(write(replyToUnreadable(message)))
    const reply =
      code === 'internal'
        ? replyToWait('The server has a problem', internalWaitSeconds)
        : replyToWait(message, Math.max(waitSeconds, retryAfterSeconds))
    return respond(write(reply))
  }

  const read = async (body: Readable, length: number): Promise<Uint8Array> => {
    if (length <= smallRequestBytes) return await readBytes(body, length, idleMs)
    if (largeRequests === mostLargeRequests)
      throw new Problem('server-busy', 'Too many large requests at the same time', {
        retryAfterSeconds: waitSeconds,
      })
    largeRequests++
    try {
      return await readBytes(body, mostRequestBytes, idleMs)
    } finally {
      largeRequests--
    }
  }

  return rawRoute({
    method: 'POST',
    path: '/scheduler',
    access: 'open',
    summary: 'A request of a client, and what it is answered.',
    parameters: z.object({}),
    body: 'stream',
    limitsItself: true,
    bodyBytesAtMost: mostRequestBytes,
    tellProblem: tell,
    problems: [],
    answer: { status: 200, description: 'A reply, also when it failed.', contentType: 'text/xml' },
    async handle({ stream, header, note, address }: Call) {
      try {
        const length = readLength(header('content-length'))
        // Whoever holds a key does not suffer for what others send from his address.
        if (length > smallRequestBytes) limits.admit(address)
        const body = stream === undefined ? empty : await read(stream, length)
        const sender = findSender(body, accountOf)
        if (sender === undefined) limits.refused(address)
        else limits.asked(sender)
        if (body.length === 0) throw new Problem('body-invalid', 'it is empty')
        return respond(await volunteers.exchange(body))
      } catch (error) {
        const problem = toProblem(error)
        note({ code: problem.code })
        if (problem.code === 'internal') warn(`A request of a volunteer's host failed: ${problem.message}`)
        return tell(problem)
      }
    },
  })
}

const empty = new Uint8Array()

/** Without a length, it may be anything. */
function readLength(header: string | undefined): number {
  const length = header === undefined ? mostRequestBytes : Number(header)
  if (!(length >= 0 && length <= mostRequestBytes)) throw bodyTooLarge(mostRequestBytes)
  return length
}

function respond(reply: string): Response {
  return new Response(reply, {
    headers: { 'content-type': 'text/xml', 'content-length': String(Buffer.byteLength(reply)) },
  })
}
