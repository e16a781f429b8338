import { z } from 'zod'
import { Problem, toProblem } from '../../problem.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import { writeAsciiXml, xml } from '../write-xml.ts'
import type { VolunteerParts } from './parts.ts'
import { receiveUpload, sizeOf, UploadRefusal } from './receive-upload.ts'
import { piecesOf, readUploadHeader } from './upload-header.ts'

const headerBytes = 64 * 1024
const status = { done: 0, later: 1, never: -1 } as const

/** Where hosts send what they have computed: streamed to the disk, one transfer of a file at a time. */
export function uploadRoute(parts: VolunteerParts): Route {
  const underWay = new Set<string>()

  const receive = async (call: Call): Promise<Response> => {
    if (call.stream === undefined) throw new Problem('body-invalid', 'The request is empty')
    const pieces = piecesOf(call.stream, parts.idleMs)
    const request = await readUploadHeader(pieces)
    const { name } = request
    call.note({ object: name })
    if (request.kind === 'size') {
      await parts.checkDisk()
      return reply(`    <status>0</status>\n    <file_size>${await sizeOf(name, parts)}</file_size>\n`)
    }
    if (underWay.has(name)) throw new Problem('server-busy', 'Another transfer of this file is under way')
    underWay.add(name)
    try {
      await receiveUpload(request, pieces, parts)
      await readAway(pieces)
      return tell(status.done)
    } finally {
      underWay.delete(name)
    }
  }

  const countRefusal = (address: string): void => {
    try {
      parts.limits.refused(address)
    } catch {
      // It is refused anyway; the next one is before it is read.
    }
  }

  return rawRoute({
    method: 'POST',
    path: '/file_upload_handler',
    access: 'open',
    summary: 'Takes files that hosts were told to send.',
    parameters: z.object({}),
    body: 'stream',
    limitsItself: true,
    bodyBytesAtMost: parts.uploadBytes + headerBytes,
    tellProblem,
    problems: [],
    answer: { status: 200, description: 'Whether it was taken.', contentType: 'text/plain' },
    async handle(call) {
      try {
        parts.limits.admit(call.address)
        return await receive(call)
      } catch (error) {
        countRefusal(call.address)
        if (error instanceof UploadRefusal) {
          call.note({ code: 'not-allowed' })
          return tell(status.never, error.message)
        }
        const problem = toProblem(error)
        call.note({ code: problem.code })
        if (problem.code === 'internal')
          parts.warn(`A file of a volunteer's host was not taken: ${problem.message}`)
        return tellProblem(problem)
      }
    },
  })
}

async function readAway(pieces: AsyncIterable<Buffer>): Promise<void> {
  for await (const piece of pieces) void piece
}

/** A name that cannot be right will not become right. */
function tellProblem({ code, message }: Problem): Response {
  if (code === 'path-unsafe' || code === 'body-too-large') return tell(status.never, message)
  return tell(status.later, code === 'internal' ? 'The server has a problem' : message)
}

function tell(number: number, message?: string): Response {
  const told = message === undefined ? '' : `    ${writeAsciiXml(xml('message', message))}\n`
  return reply(`    <status>${number}</status>\n${told}`)
}

function reply(content: string): Response {
  return new Response(`<data_server_reply>\n${content}</data_server_reply>\n`, {
    headers: { 'content-type': 'text/plain' },
  })
}
