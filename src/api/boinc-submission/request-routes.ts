import { z } from 'zod'
import { Problem, toProblem } from '../../problem.ts'
import { executionsOf } from '../access/executions-of.ts'
import type { UserPrincipal } from '../access/principal.ts'
import { rawRoute, type AuditAction, type Call, type Route } from '../route.ts'
import { xml, type XmlNode } from '../write-xml.ts'
import { failure, reply, unreadable } from './answers.ts'
import { isFileOperation, queryFiles, uploadFiles } from './file-operations.ts'
import { operate, resolveGeneration } from './operations.ts'
import type { SubmissionParts } from './parts.ts'
import { readRequest, type BoincRequest, type Operation, type RequestOrigin } from './read-request.ts'

const parameters = z.object({
  request: z.string().optional().meta({ description: 'The request, an XML document.' }),
})

/** Of the operations that do something. */
const auditActions: Partial<Record<Operation['kind'], AuditAction>> = {
  submit: 'start',
  'abort-batch': 'cancel',
  'abort-jobs': 'cancel',
  'retire-batch': 'remove',
  'upload-files': 'upload',
}

type RequestCall = Call<z.output<typeof parameters>>

/** Where requests come: one handler, which tells by the request what is wanted. */
const requestFiles = ['job_control.php', 'submit.php', 'submit_rpc_handler.php', 'job_file.php']
const mostRequestBytes = 64 * 2 ** 20

export function requestRoutes(parts: SubmissionParts): readonly Route[] {
  return requestFiles.flatMap((file) => [
    ...[`/${file}`, `//${file}`].map((path) =>
      rawRoute({
        method: 'POST',
        path: path as `/${string}`,
        access: 'open',
        summary: 'Remote submission of jobs: an XML document, by itself or as the field "request".',
        parameters,
        body: 'either',
        bodyBytesAtMost: mostRequestBytes,
        filePrefix: 'file',
        admitFile: (sent) => {
          const request = readRequest(sent.parameter('request') ?? '', { file, isRaw: false })
          authenticate(request, sent.address, parts)
        },
        problems: [],
        answer: {
          status: 200,
          description: 'An XML document, also when it failed.',
          contentType: 'text/xml',
        },
        handle: async (call) => reply(await answer(call, file, parts)),
      }),
    ),
    rawRoute({
      method: 'GET',
      path: `/${file}`,
      access: 'open',
      summary: 'Says that requests come as POST.',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'An error.', contentType: 'text/xml' },
      handle: () => reply(unreadable("can't parse request message: expected a POST")),
    }),
  ])
}

async function answer(call: RequestCall, file: string, parts: SubmissionParts): Promise<XmlNode> {
  let request: BoincRequest
  try {
    const { text, isRaw } = findRequest(call)
    request = readRequest(text, { file, isRaw })
  } catch (error) {
    return unreadable(toProblem(error).message)
  }
  const { operation: name } = request
  let { generation } = request
  try {
    const operation = request.read()
    const audit = auditActions[operation.kind]
    if (audit !== undefined) call.note({ audit })
    if (operation.kind === 'ping') return xml(name, xml('success', 1))
    const principal = authenticate(request, call.address, parts)
    const submitter = {
      owner: principal.name,
      executions: executionsOf(parts.executions, principal),
      authenticator: request.authenticator,
      keyId: principal.id,
    }
    call.note({ principal, object: name })
    generation = resolveGeneration(generation, () => operation, submitter, parts)
    if (isFileOperation(operation))
      return operation.kind === 'query-files'
        ? queryFiles(operation, submitter, parts)
        : await uploadFiles(operation, call.files, submitter, parts)
    return await operate({ name, operation, generation, submitter, signal: call.signal }, parts)
  } catch (error) {
    const problem = toProblem(error)
    call.note({ code: problem.code })
    if (problem.code !== 'internal') return failure(name, generation, problem.message)
    // What went wrong inside may name places that are nobody's business.
    parts.warn(`${name}: ${error instanceof Error ? error.message : problem.message}`)
    return failure(name, generation, 'something unexpected happened in the server')
  }
}

function authenticate(
  { authenticator }: BoincRequest,
  address: string,
  parts: SubmissionParts,
): UserPrincipal {
  if (authenticator === '') throw new Problem('token-invalid', 'no authenticator')
  let principal: UserPrincipal
  try {
    principal = parts.authentication.byKey(authenticator, address)
  } catch (error) {
    if (error instanceof Problem && error.code === 'token-invalid')
      throw new Problem('token-invalid', 'bad authenticator', { cause: error })
    throw error
  }
  if (!principal.rights.submitter) throw new Problem('token-invalid', 'no submit access')
  return principal
}

/** Where the XML is: the field of a multipart form, the body itself whatever its media type, or an urlencoded field. */
function findRequest({
  parameters: { request },
  text,
}: RequestCall): { readonly text: string } & Pick<RequestOrigin, 'isRaw'> {
  if (text === '') return { text: request ?? '', isRaw: false }
  if (/^\s*</.test(text)) return { text, isRaw: true }
  return { text: new URLSearchParams(text).get('request') ?? '', isRaw: false }
}
