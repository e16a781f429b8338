import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import * as http from 'node:http'
import * as https from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, expect, test } from 'vitest'
import { createTestApi } from '../../test/helpers/api-server.ts'
import { keepRoom } from './connection-room.ts'
import { listen } from './server.ts'
import { loadTls } from './tls.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** A connection that the server has taken. */
async function open(server: http.Server): Promise<Socket> {
  const taken = once(server, 'connection')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  closing.push(async () => socket.destroy())
  await taken
  return socket
}

/** Status of the answer to a request on this connection. */
async function ask(socket: Socket): Promise<number> {
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const [answer] = await once(socket, 'data')
  return Number(String(answer).slice(9, 12))
}

async function serve(refusedMs: number): Promise<http.Server> {
  const server = http.createServer((incoming, outgoing) => {
    outgoing.writeHead(room.admits(incoming.socket) ? 200 : 503).end()
  })
  const room = keepRoom(server, {
    maxConnections: 2,
    refusedConnections: 2,
    refusedMs,
    event: 'connection',
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  closing.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return server
}

async function loadIdentity(directory: string) {
  return loadTls({
    certFile: undefined,
    keyFile: undefined,
    directory: join(directory, 'tls'),
    hostname: 'hut.example.org',
    now: Date.now,
    writeDurably: (file, data, mode) => writeFile(file, data, { mode }),
  })
}

test('connections beyond the most are refused in words, and the ones beyond these are cut', async () => {
  const server = await serve(60_000)
  const [first, second, third, fourth] = [
    await open(server),
    await open(server),
    await open(server),
    await open(server),
  ]
  expect([await ask(first), await ask(second)]).toEqual([200, 200])
  expect([await ask(third), await ask(fourth)]).toEqual([503, 503])
  const fifth = connect((server.address() as AddressInfo).port, '127.0.0.1')
  fifth.on('error', () => fifth.destroy())
  fifth.resume()
  await once(fifth, 'close')
  first.destroy()
  await expect.poll(() => ask(third), { message: 'there is room now' }).toBe(200)
  expect([await ask(second), await ask(fourth)]).toEqual([200, 503])
})

test('one that was refused and says nothing is ended', async () => {
  const server = await serve(100)
  const [first] = [await open(server), await open(server)]
  const third = await open(server)
  third.resume()
  await once(third, 'close')
  expect(await ask(first)).toBe(200)
})

test.each(['http', 'https'])(
  'over %s a client is told to come again, also amid an upload',
  async (scheme) => {
    const test = await createTestApi()
    closing.push(async () => test[Symbol.asyncDispose]())
    const tls = scheme === 'https' ? await loadIdentity(test.directory) : undefined
    const server = await listen(test.api, {
      host: '127.0.0.1',
      port: 0,
      maxConnections: 1,
      refusedConnections: 5,
      ...(tls !== undefined && { tls }),
      idleMs: 60_000,
      report: (error) => test.reported.push(error),
    })
    closing.push(() => server.close(0))
    const { request, Agent } = scheme === 'https' ? https : http
    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })
    closing.push(async () => agent.destroy())
    const post = async (body: Buffer, through: http.Agent | false = false) => {
      const options = { method: 'POST', agent: through, rejectUnauthorized: false }
      const asked = request(`${server.url}/list?token=good`, options)
      asked.end(body)
      const [answer] = await once(asked, 'response')
      return { status: answer.statusCode, headers: answer.headers, body: await text(answer) }
    }
    expect(await post(Buffer.alloc(0), agent)).toMatchObject({ status: 200 })
    for (const size of [0, 5_000_000]) {
      const refused = await post(Buffer.alloc(size))
      expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '2', connection: 'close' } })
      expect(JSON.parse(refused.body)).toMatchObject({ code: 'server-busy', status: 503 })
    }
    expect(await post(Buffer.alloc(0), agent)).toMatchObject({ status: 200 })
    agent.destroy()
    await expect.poll(async () => (await post(Buffer.alloc(0))).status).toBe(200)
    expect(test.reported).toEqual([])
  },
)
