import { createHash } from 'node:crypto'
import { z } from 'zod'
import { Problem } from '../../problem.ts'
import type { KeptOfUsers } from '../../users/contract.ts'
import type { Authentication } from '../access/authentication.ts'
import { ownerOf, type Principal } from '../access/principal.ts'
import { rawRoute, type Call, type Dialect, type Route, type UnknownRequest } from '../route.ts'
import { xmlWith } from '../write-xml.ts'
import { parseXml } from '../xml.ts'
import type { Calculation, Calculations } from './calculation.ts'
import { decodeXml } from './decode-xml.ts'
import {
  errorAnswer,
  outputsDocument,
  resultsDocument,
  statusDocument,
  textAnswer,
  xmlAnswer,
} from './documents.ts'
import { Turns } from './turns.ts'

export interface ExcitingParts {
  readonly mount: Dialect['mount']
  readonly calculations: Calculations
  readonly authentication: Pick<Authentication, 'identify'>
  /** Whether everybody who reaches the server may use it, as the operator. */
  readonly isOpen: boolean
  /** Whether a POST is refused whose address is not the hash of its body; else the answer has a warning. */
  readonly isStrict: boolean
  readonly kept?: KeptOfUsers
}

interface RouteParts extends ExcitingParts {
  /** Changes of one calculation wait for each other. */
  readonly turns: Turns
}

const mostInputBytes = 16 * 2 ** 20
const parameters = z.object({})
const unknown = 'unknown calculation'

/** The calculation service of exciting@web: an input.xml is posted to its own SHA-1, and everything is asked there. */
export function excitingDialect(given: ExcitingParts): Dialect {
  const parts: RouteParts = { ...given, turns: new Turns() }
  return {
    name: 'exciting',
    mount: parts.mount,
    authenticate: (request) => authenticate(request, parts),
    routes: routes(parts),
    tellProblem: (problem) =>
      problem.code === 'body-too-large' || problem.code === 'body-invalid'
        ? textAnswer(problem.message, problem.telling.status)
        : errorAnswer(problem.message, statusOf(problem)),
    ...(parts.kept !== undefined && { kept: parts.kept }),
  }
}

/** Where the client carries its key is not known: wherever services expect one. */
async function authenticate(
  request: UnknownRequest,
  { isOpen, authentication }: ExcitingParts,
): Promise<Principal> {
  if (isOpen) return { kind: 'operator', id: 'exciting' }
  const bearer = /^bearer +(\S+) *$/i.exec(request.header('authorization') ?? '')?.[1]
  const basic = /^basic +(\S+) *$/i.exec(request.header('authorization') ?? '')?.[1]
  const password =
    basic === undefined
      ? undefined
      : Buffer.from(basic, 'base64')
          .toString('utf8')
          .replace(/^[^:]*:/, '')
  const named = ['token', 'key', 'apikey', 'api_key'].map((name) => request.parameter(name))
  return authentication.identify(
    [bearer, request.header('x-api-key'), password, ...named].find((each) => each !== undefined),
  )
}

function routes(parts: RouteParts): readonly Route[] {
  const withSlash = (route: Parameters<typeof rawRoute>[0]): readonly Route[] =>
    ['', '/'].map((slash) => rawRoute({ ...route, path: `${route.path}${slash}` as `/${string}` }))
  const shared = { access: 'token', parameters, problems: [] } as const
  const answer = { status: 200, description: 'An XML document.', contentType: 'text/xml' } as const
  return [
    ...withSlash({
      ...shared,
      method: 'POST',
      path: '/:hash',
      audit: 'start',
      body: 'text',
      bodyBytesAtMost: mostInputBytes,
      summary: 'Start the calculation of the input.xml that is posted.',
      answer: { status: 200, description: 'POST OK', contentType: 'text/plain' },
      handle: (call) => start(call, parts),
    }),
    ...withSlash({
      ...shared,
      method: 'GET',
      path: '/:hash',
      summary: 'info.xml as it is now.',
      answer,
      handle: (call) => withCalculation(call, parts, sendInfo),
    }),
    ...withSlash({
      ...shared,
      method: 'DELETE',
      path: '/:hash',
      audit: 'remove',
      summary: 'End the calculation and delete all of it.',
      answer,
      handle: (call) => remove(call, parts),
    }),
    ...withSlash({
      ...shared,
      method: 'GET',
      path: '/:hash/status',
      summary: 'How the calculation stands.',
      answer,
      handle: (call) =>
        withCalculation(call, parts, async (calculation, hash) =>
          xmlAnswer(statusDocument(hash, await calculation.status(call.signal))),
        ),
    }),
    ...withSlash({
      ...shared,
      method: 'GET',
      path: '/:hash/stdout',
      summary: 'What the job has printed.',
      answer,
      handle: (call) =>
        withCalculation(call, parts, async (calculation) =>
          xmlAnswer(outputsDocument(await calculation.files())),
        ),
    }),
    ...withSlash({
      ...shared,
      method: 'GET',
      path: '/:hash/import',
      audit: 'download',
      summary: 'All XML files of the calculation.',
      answer,
      handle: (call) =>
        withCalculation(call, parts, async (calculation) =>
          xmlAnswer(resultsDocument(await calculation.files())),
        ),
    }),
    ...withSlash({
      ...shared,
      method: 'GET',
      path: '/:hash/delete',
      audit: 'remove',
      summary: 'End the calculation and delete all of it.',
      answer,
      handle: (call) => remove(call, parts),
    }),
  ]
}

async function start(call: Call, { calculations, isStrict, turns }: RouteParts): Promise<Response> {
  const hash = hashOf(call)
  if (hash === undefined) return errorAnswer(unknown, 404)
  const { bytes, principal, signal, note } = call
  note({ object: hash })
  const wrong = whatIsWrong(bytes)
  if (wrong !== undefined) return textAnswer(wrong, 400)
  const own = createHash('sha1').update(bytes).digest('hex')
  if (own !== hash && isStrict)
    return textAnswer(`The SHA-1 of the input is ${own}, but it was posted to ${hash}.`, 409)
  return turns.take(`${ownerOf(principal)}/${hash}`, async () => {
    const known = await calculations.find(principal, hash)
    if (known !== undefined) {
      const { state } = await known.status(signal)
      const isOver = state === 'failed' || state === 'cancelled'
      // Hashes of SHA-1 can be made to be the same.
      if (!isOver && !(await known.input()).equals(bytes))
        return textAnswer(`There is another input under ${hash} already.`, 409)
      if (!isOver) return accepted(own, hash)
      await known.remove(signal)
    }
    await calculations.start(principal, hash, bytes, signal)
    return accepted(own, hash)
  })
}

function accepted(own: string, hash: string): Response {
  const answer = textAnswer('POST OK')
  if (own !== hash) answer.headers.set('warning', `299 - "the SHA-1 of the input is ${own}"`)
  return answer
}

function whatIsWrong(bytes: Uint8Array): string | undefined {
  const text = decodeXml(bytes)
  if (text === undefined) return 'The input is expected in UTF-8 or ISO-8859-1.'
  try {
    const { name } = parseXml(text)
    return name === 'input' ? undefined : `The root of the input is ${name.slice(0, 100)}; expected input.`
  } catch (error) {
    if (error instanceof Problem) return `The input is no well-formed XML: ${error.message}`
    throw error
  }
}

async function sendInfo(calculation: Calculation): Promise<Response> {
  const info = (await calculation.files()).find(({ name }) => name === 'info.xml')
  if (info === undefined) return errorAnswer('no info.xml yet', 404)
  return new Response(new Uint8Array(info.content), {
    headers: { 'content-type': 'text/xml', 'cache-control': 'no-store' },
  })
}

async function remove(call: Call, { calculations, turns }: RouteParts): Promise<Response> {
  // Pages of others must not make a browser delete.
  if (call.header('sec-fetch-site') === 'cross-site') return xmlAnswer(xmlWith('result', { code: 1 }), 403)
  const hash = hashOf(call)
  if (hash === undefined) return xmlAnswer(xmlWith('result', { code: 1 }), 404)
  call.note({ object: hash })
  return turns.take(`${ownerOf(call.principal)}/${hash}`, async () => {
    const calculation = await calculations.find(call.principal, hash)
    if (calculation === undefined) return xmlAnswer(xmlWith('result', { code: 1 }), 404)
    await calculation.remove(call.signal)
    return xmlAnswer(xmlWith('result', { code: 0 }))
  })
}

async function withCalculation(
  call: Call,
  { calculations }: ExcitingParts,
  answer: (calculation: Calculation, hash: string) => Promise<Response>,
): Promise<Response> {
  const hash = hashOf(call)
  const calculation = hash === undefined ? undefined : await calculations.find(call.principal, hash)
  if (hash === undefined || calculation === undefined) return errorAnswer(unknown, 404)
  call.note({ object: hash })
  return answer(calculation, hash)
}

function hashOf({ path }: Call): string | undefined {
  const hash = path['hash'] ?? ''
  return /^[0-9a-fA-F]{40}$/.test(hash) ? hash.toLowerCase() : undefined
}

function statusOf({ telling: { status } }: Problem): number {
  return status === 417 ? 400 : status
}
