import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { z } from 'zod'
import { Problem } from '../../problem.ts'
import { readAnswer, readProblem } from './answers.ts'
import { createClient, describeBreak, type Request } from './client.ts'
import { chooseTrust, login, type LoginOptions } from './login.ts'
import type { Logins } from './logins.ts'
import { encodeForm, type Form } from './multipart.ts'
import { nameServer } from './server-url.ts'

/** One server, spoken to with the saved token. */
export interface Session extends Disposable {
  /** `https://host:8443`: the key of its saved login. */
  readonly server: string
  /** Calls a route that answers with JSON. Throws the server's problems and server-unreachable. */
  call<Schema extends z.ZodType>(
    route: string,
    parameters: Readonly<Record<string, string | undefined>>,
    schema: Schema,
    signal?: AbortSignal,
  ): Promise<z.output<Schema>>
  /** Calls a route that answers with bytes. */
  fetch(
    route: string,
    parameters: Readonly<Record<string, string | undefined>>,
    signal?: AbortSignal,
  ): Promise<IncomingMessage>
  /** Posts a form with files; `makeForm` is called again when the token had to be renewed. */
  post<Schema extends z.ZodType>(
    route: string,
    makeForm: () => Form,
    schema: Schema,
    signal?: AbortSignal,
  ): Promise<z.output<Schema>>
}

export interface SessionOptions extends LoginOptions {
  readonly url: URL
  readonly logins: Logins
}

/**
 * Opens a session with what is saved of the server. Where a password is at hand, it logs in when there is no token
 * yet, and anew when the server does not take the token any more.
 */
export async function openSession(options: SessionOptions): Promise<Session> {
  const { url, logins, password } = options
  const server = nameServer(url)
  if (logins.of(server)?.token === undefined) {
    if (password === undefined)
      throw new Problem('token-invalid', `You are not logged in to ${server}.`, {
        hint: `Run \`molehill token --server ${server}\`, or add --password-file.`,
      })
    await login(options)
  }
  const client = createClient(url, chooseTrust(options))

  const exchange = async (makeRequest: () => Request) => {
    const send = () => {
      const { headers, ...request } = makeRequest()
      const authorization = `Bearer ${logins.of(server)?.token ?? ''}`
      return client.send({ ...request, headers: { ...headers, authorization } })
    }
    const response = await send()
    if (response.statusCode !== 401) return await succeed(response)
    const refusal = await readRefusal(response)
    if (password === undefined)
      throw new Problem('token-invalid', `The saved token for ${server} is not valid any more.`, {
        hint: `Run \`molehill token --server ${server}\`, or add --password-file.`,
        cause: refusal,
      })
    await login(options)
    return await succeed(await send())
  }
  const fetch: Session['fetch'] = (route, parameters, signal) =>
    exchange(() => ({
      route,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: encodeParameters(parameters),
      signal,
    }))
  return {
    server,
    fetch,
    call: async (route, parameters, schema, signal) =>
      readAnswer(schema, await readText(await fetch(route, parameters, signal))),
    async post(route, makeForm, schema, signal) {
      const response = await exchange(() => {
        const { contentType, body } = encodeForm(makeForm())
        return { route, headers: { 'content-type': contentType }, body, signal }
      })
      return readAnswer(schema, await readText(response))
    },
    [Symbol.dispose]: () => client.close(),
  }
}

function encodeParameters(parameters: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(parameters).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return new URLSearchParams(given).toString()
}

async function succeed(response: IncomingMessage): Promise<IncomingMessage> {
  const { statusCode = 0 } = response
  if (statusCode >= 200 && statusCode < 300) return response
  throw await readRefusal(response)
}

async function readText(response: IncomingMessage): Promise<string> {
  try {
    return await text(response)
  } catch (error) {
    throw describeBreak(error)
  }
}

const longestRefusal = 1_000_000

/** The problem that a response tells. */
export async function readRefusal(response: IncomingMessage): Promise<Problem> {
  let body = ''
  response.setEncoding('utf8')
  for await (const chunk of response as AsyncIterable<string>) {
    body += chunk
    if (body.length > longestRefusal) break
  }
  return readProblem(response.statusCode ?? 0, body)
}
