import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  readonly json: Record<string, unknown>
}

/**
 * OpenMOLE's REST client of version 9.2: parameters in the query string of a POST, only the archive in the body; a
 * status below 400 is a success, anything else an error with a message and perhaps a stack trace.
 */
export interface RestClient {
  get(path: string): Promise<Answer>
  post(path: string, parameters: Record<string, string>, archive?: Buffer): Promise<Answer>
  requestToken(password: string): Promise<string>
  start(token: string, script: string, workDirectory: Buffer): Promise<string>
  /** Asks until the execution does not run any more. */
  awaitEnd(token: string, id: string): Promise<Record<string, unknown>>
  output(token: string, id: string): Promise<string>
  remove(token: string, id: string): Promise<void>
}

const pollMs = 200

/** A client that trusts the certificate of this server. */
export async function createRestClient(server: { url: string; dataDirectory: string }): Promise<RestClient> {
  const ca = await readFile(join(server.dataDirectory, 'tls', 'cert.pem'), 'utf8')
  const post = (path: string, parameters: Record<string, string>, archive?: Buffer) =>
    send(`${server.url}${path}?${new URLSearchParams(parameters).toString()}`, ca, archive)
  const succeed = async (path: string, parameters: Record<string, string>, archive?: Buffer) => {
    const answer = await post(path, parameters, archive)
    if (answer.status < 400) return answer
    throw new Error(`${answer.status}: ${String(answer.json.message)}`)
  }
  return {
    get: (path) => send(`${server.url}${path}`, ca, undefined, 'GET'),
    post,
    requestToken: async (password) => String((await succeed('/token', { password })).json.token),
    start: async (token, script, workDirectory) =>
      String((await succeed('/start', { token, script }, workDirectory)).json.id),
    async awaitEnd(token, id) {
      for (;;) {
        const { json } = await succeed('/state', { token, id })
        if (json.state !== 'running') return json
        await new Promise((resolve) => setTimeout(resolve, pollMs))
      }
    },
    output: async (token, id) => String((await succeed('/output', { token, id })).json.output),
    remove: async (token, id) => void (await succeed('/remove', { token, id })),
  }
}

async function send(url: string, ca: string, archive: Buffer | undefined, method = 'POST'): Promise<Answer> {
  const { body, headers } = archive === undefined ? { body: undefined, headers: {} } : await pack(archive)
  return await new Promise<Answer>((resolve, reject) => {
    const sent = request(url, { method, ca, agent: false, headers }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const json: unknown = text.startsWith('{') ? JSON.parse(text) : {}
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json: Object(json) })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

async function pack(archive: Buffer) {
  const form = new FormData()
  form.set('workDirectory', new Blob([new Uint8Array(archive)]), 'workDirectory.tgz')
  const packed = new Response(form)
  const body = Buffer.from(await packed.arrayBuffer())
  return {
    body,
    headers: { 'content-type': packed.headers.get('content-type') ?? '', 'content-length': body.length },
  }
}
