import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { generate } from 'selfsigned'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { outputAnswer, startAnswer } from './answers.ts'
import { login, type LoginOptions } from './login.ts'
import { openLogins, type Logins } from './logins.ts'
import { openSession } from './session.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>
interface Identity {
  readonly cert: string
  readonly key: string
  readonly fingerprint: string
}

let own: Identity
let foreign: Identity
let directory: string
let logins: Logins
let said: string[]
const servers: Server[] = []

beforeAll(async () => {
  own = await makeIdentity()
  foreign = await makeIdentity()
})
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'session-'))
  logins = await openLogins(join(directory, 'logins.json'))
  said = []
})
afterEach(async () => {
  await stopServers()
  await rm(directory, { recursive: true })
})

test('the first contact shows the fingerprint, and later ones take no other certificate', async () => {
  const url = await serve(own, answerToken)
  await login(options(url))
  expect(said.join('\n')).toContain(own.fingerprint)
  expect(logins.of(url.href.slice(0, -1))).toMatchObject({ token: 'fresh', fingerprint: own.fingerprint })

  const { port } = url
  await stopServers()
  let hasRequest = false
  await serve(foreign, () => void (hasRequest = true), Number(port))
  using session = await openSession(options(url))
  const error = await session
    .call('output', { id: '1' }, outputAnswer)
    .catch((error: unknown) => String(error))
  expect(error).toContain(foreign.fingerprint)
  await expect(login(options(url))).rejects.toThrow(/not the one that is trusted/)
  expect(hasRequest).toBe(false)
})

test('a server that is not there is told in words, also at the first contact', async () => {
  const url = await serve(own, answerToken)
  await stopServers()
  await expect(login(options(url))).rejects.toMatchObject({
    code: 'server-unreachable',
    message: `The server ${url.origin} cannot be reached: nothing listens there.`,
  })
})

test('a fingerprint that was passed must match before the password is sent', async () => {
  let hasRequest = false
  const url = await serve(own, () => void (hasRequest = true))
  const wrong = login({ ...options(url), fingerprint: foreign.fingerprint })
  await expect(wrong).rejects.toMatchObject({ code: 'server-unreachable' })
  expect(hasRequest).toBe(false)
})

test('a server that was vouched for at the login is not taken with a certificate of its own', async () => {
  const url = await serve(own, answerToken)
  await logins.save(url.href.slice(0, -1), { token: 'old' })
  await expect(login(options(url))).rejects.toThrow(/Nobody vouches/)
})

test('without a password an invalid token is told, with the command that helps', async () => {
  const url = await serve(own, (_request, response) => void response.writeHead(401).end('{}'))
  await logins.save(url.href.slice(0, -1), { token: 'old', fingerprint: own.fingerprint })
  using session = await openSession({ ...options(url), password: undefined })
  await expect(session.call('output', { id: '1' }, outputAnswer)).rejects.toMatchObject({
    code: 'token-invalid',
    hint: expect.stringContaining('molehill token --server'),
  })
})

test('with a password the token is renewed, and an upload begins anew', async () => {
  const bodies: string[] = []
  const url = await serve(own, async (request, response) => {
    if (request.url === '/token') {
      answerToken(request, response)
      return
    }
    bodies.push(await text(request))
    const isFresh = request.headers.authorization === 'Bearer fresh'
    response.writeHead(isFresh ? 200 : 401).end(JSON.stringify({ id: '7' }))
  })
  await logins.save(url.href.slice(0, -1), { token: 'old', fingerprint: own.fingerprint })
  using session = await openSession(options(url))
  const answer = await session.post('start', () => form(['packed']), startAnswer)
  expect(answer.id).toBe('7')
  expect(bodies).toHaveLength(2)
  expect(bodies[1]).toContain('\r\n\r\npacked\r\n')
})

test('a refusal that comes before the upload has ended is what counts', async () => {
  const url = await serve(own, (_request, response) => {
    response
      .writeHead(413, { connection: 'close' })
      .end('{"detail":"At most 1 MiB.","code":"archive-too-large","hint":"Leave out the data."}')
  })
  await logins.save(url.href.slice(0, -1), { token: 'good', fingerprint: own.fingerprint })
  using session = await openSession(options(url))
  await expect(session.post('start', () => form(endless()), startAnswer)).rejects.toMatchObject({
    code: 'archive-too-large',
    message: 'At most 1 MiB.',
    hint: 'Leave out the data.',
  })
})

test('an error while packing is told as it is', async () => {
  const url = await serve(own, () => undefined)
  await logins.save(url.href.slice(0, -1), { token: 'good', fingerprint: own.fingerprint })
  using session = await openSession(options(url))
  await expect(session.post('start', () => form(broken()), startAnswer)).rejects.toThrow(
    'no permission to read x',
  )
})

test('an answer that breaks off is no answer', async () => {
  const url = await serve(own, (_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{"output":')
    setImmediate(() => response.destroy())
  })
  await logins.save(url.href.slice(0, -1), { token: 'good', fingerprint: own.fingerprint })
  using session = await openSession(options(url))
  await expect(session.call('output', { id: '1' }, outputAnswer)).rejects.toMatchObject({
    code: 'server-unreachable',
  })
})

test('a server that answers something else is told apart from one that is not there', async () => {
  const url = await serve(own, (_request, response) => void response.end('<html>Welcome'))
  await logins.save(url.href.slice(0, -1), { token: 'good', fingerprint: own.fingerprint })
  using session = await openSession(options(url))
  await expect(session.call('output', { id: '1' }, outputAnswer)).rejects.toThrow(
    /unexpected: "<html>Welcome"/,
  )
  await stopServers()
  await expect(session.call('output', { id: '1' }, outputAnswer)).rejects.toThrow(/cannot be reached/)
})

function options(url: URL): LoginOptions {
  return {
    url,
    logins,
    insecure: false,
    password: async () => 'sesame',
    say: (message) => said.push(message),
    now: () => 0,
  }
}

function answerToken(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(202).end('{"token":"fresh","duration":1000}')
}

function form(content: AsyncIterable<Uint8Array> | readonly string[]) {
  return {
    fields: { script: 'workflow.ts' },
    files: [
      {
        field: 'workDirectory',
        name: 'w.tar.gz',
        contentType: 'application/gzip',
        content: Symbol.asyncIterator in content ? content : encode(content),
      },
    ],
  }
}

async function* encode(texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const each of texts) yield new TextEncoder().encode(each)
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield new Uint8Array(65_536)
}

async function* broken(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(10)
  throw new Error('no permission to read x')
}

async function serve({ cert, key }: Identity, handler: Handler, port = 0): Promise<URL> {
  const server = createServer({ cert, key }, (request, response) => void handler(request, response))
  servers.push(server)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
}

async function stopServers(): Promise<void> {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
}

async function makeIdentity(): Promise<Identity> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'test' }])
  return { cert, key, fingerprint: new X509Certificate(cert).fingerprint256 }
}
