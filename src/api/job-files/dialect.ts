import { z } from 'zod'
import type { AskedFileDesk } from '../../environment/file-desk.ts'
import { Problem } from '../../problem.ts'
import { answerProblem, problemSchema } from '../problem-answer.ts'
import { rawRoute, type Dialect } from '../route.ts'
import { bearerToken } from '../serve-route.ts'
import { streamBody } from '../stream-body.ts'

const retryAfterSeconds = 1

/**
 * Where jobs elsewhere fetch their files from, each with a token that is good for nothing else. The route counts as open
 * for limits on requests: many jobs may come from one address, and each asks again until it has its files.
 */
export function jobFilesDialect(desk: Pick<AskedFileDesk, 'open'>): Dialect {
  return {
    name: 'job-files',
    mount: '/job-files',
    routes: [
      rawRoute({
        method: 'GET',
        path: '/:environment/:job',
        access: 'open',
        summary:
          'The files of one job for the computer that runs it, with the bearer token that it was given.',
        parameters: z.object({}),
        problems: ['token-invalid', 'file-missing'],
        answer: { status: 200, description: 'A tar archive.', contentType: 'application/x-tar' },
        async handle({ path, header, note, breakOff }) {
          const { environment = '', job = '' } = path
          const token = bearerToken(header('authorization'))
          if (token === undefined) throw tokenInvalid()
          const asker = header('molehill-pod') ?? ''
          const opened = await desk.open(environment, { job, token, asker })
          if (opened.kind === 'refused') throw tokenInvalid()
          if (opened.kind === 'over') throw new Problem('file-missing', opened.reason)
          if (opened.kind === 'later') throw new Problem('server-busy', opened.reason, { retryAfterSeconds })
          note({ object: job })
          const { bytes, content } = opened
          return new Response(streamBody(content, { lengthBytes: bytes, breakOff }), {
            headers: { 'content-type': 'application/x-tar', 'content-length': String(bytes) },
          })
        },
      }),
    ],
    tellProblem: answerProblem,
    problemSchema,
  }
}

function tokenInvalid(): Problem {
  return new Problem('token-invalid', 'Expected the token that the job was given for its files.', {
    hint: 'Send it as "Authorization: Bearer". Tokens of users are not good here.',
  })
}
