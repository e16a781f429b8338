import { createServer as createTcpServer, type Server } from 'node:net'
import { createServer as createHttpsServer } from 'node:https'
import { generate } from 'selfsigned'
import { afterEach, describe, expect, it } from 'vitest'
import { errorOfAnswer, errorOfStatus } from './api-errors.ts'
import { Connection } from './connection.ts'
import { credentialsFrom } from './credentials.ts'

const token = 'very-secret-token'
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()))
})

/** The address of a server that is closed after the test. */
async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  const address = server.address()
  return `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

function ask(url: string, certificateAuthority?: string, timeoutMs = 20_000): Promise<unknown> {
  const credentials = credentialsFrom({ kind: 'token', url, token, certificateAuthority }, Date.now)
  const connection = new Connection(credentials, { now: Date.now, timeoutMs })
  closing.unshift(() => connection.close())
  return connection.ask({ method: 'GET', path: '/version' }, new AbortController().signal)
}

describe('an answer that is an error', () => {
  it('keeps the status, the reason, the words and the time to wait', () => {
    const text = JSON.stringify({
      kind: 'Status',
      status: 'Failure',
      message: 'jobs.batch "a" already exists',
      reason: 'AlreadyExists',
      code: 409,
      details: { name: 'a', kind: 'jobs' },
    })
    expect(errorOfAnswer({ status: 409, text, retryAfter: '2' }, 'https://k')).toMatchObject({
      status: 409,
      reason: 'AlreadyExists',
      message: 'jobs.batch "a" already exists',
      retryAfterMs: 2000,
      details: { name: 'a' },
    })
  })

  it('names the address where a proxy answers', () => {
    expect(errorOfAnswer({ status: 502, text: '<h1>Bad\nGateway</h1>' }, 'https://k')).toMatchObject({
      status: 502,
      reason: 'Unreadable',
      message: expect.stringContaining(
        'https://k answered HTTP 502 and not as an API server does: <h1>Bad Gateway</h1>',
      ),
    })
  })

  it('may come as a status in a watch, with its own code and time to wait', () => {
    expect(
      errorOfStatus({ message: 'too old', reason: 'Expired', code: 410, details: { retryAfterSeconds: 3 } }),
    ).toMatchObject({ status: 410, reason: 'Expired', retryAfterMs: 3000 })
  })
})

describe('a server that gives no answer', () => {
  it('is told to take no connections', async () => {
    const server = createTcpServer()
    const url = await listen(server)
    await closing.pop()!()
    await expect(ask(url)).rejects.toMatchObject({
      status: 0,
      reason: 'Unreachable',
      message: `${url} takes no connections (ECONNREFUSED). Look whether the API server runs and whether the port is right.`,
    })
  })

  it('is told to cut connections, or not to speak TLS', async () => {
    const cutting = await listen(createTcpServer((socket) => socket.on('error', () => undefined).destroy()))
    await expect(ask(cutting)).rejects.toThrow(/cut the connection/)
    const plain = await listen(
      createTcpServer((socket) =>
        socket
          .on('error', () => undefined)
          .resume()
          .end('HTTP/1.1 400 Bad Request\r\n\r\n'),
      ),
    )
    await expect(ask(plain)).rejects.toThrow(/does not speak TLS/)
  })

  it('is told to be silent', async () => {
    const silent = await listen(createTcpServer((socket) => socket.on('error', () => undefined).resume()))
    await expect(ask(silent, undefined, 200)).rejects.toMatchObject({
      reason: 'TimedOut',
      message: expect.stringContaining(`${silent} said nothing for 0.2 s.`),
    })
  })

  it('is told to have a name that nobody knows', async () => {
    await expect(ask('https://k.invalid:6443')).rejects.toThrow(
      /^https:\/\/k\.invalid:6443 has a name that cannot be resolved/,
    )
  })

  it('is told to show the wrong certificate', async () => {
    const pair = await generate([{ name: 'commonName', value: 'k' }], { keyType: 'ec' })
    const url = await listen(createHttpsServer({ cert: pair.cert, key: pair.private }))
    await expect(ask(url)).rejects.toThrow(/shows a certificate that the given authority did not sign/)
    await expect(ask(url, pair.cert)).rejects.toThrow(/shows a certificate for other names/)
  })
})

it('an answer that repeats the token does not tell it', async () => {
  const pair = await generate([{ name: 'commonName', value: 'k' }], {
    keyType: 'ec',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  })
  const server = createHttpsServer({ cert: pair.cert, key: pair.private }, (request, response) => {
    response.writeHead(500).end(`what is ${request.headers.authorization}?`)
  })
  const failure = ask(await listen(server), pair.cert)
  await expect(failure).rejects.toThrow(/what is Bearer \[secret\]\?/)
})
