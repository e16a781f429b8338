import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { Agent, request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { serveTestApi } from '../../test/helpers/api-server.ts'
import { listen } from './server.ts'

type Server = Awaited<ReturnType<typeof serveTestApi>>

async function withExecution(): Promise<Server> {
  const server = await serveTestApi()
  const workDirectory = join(server.directory, 'work')
  await mkdir(workDirectory)
  await writeFile(join(workDirectory, 'big'), Buffer.alloc(64 * 2 ** 20))
  const counts = { ready: 0, running: 0, completed: 0, failed: 0 }
  server.executions.all.set('id-1', {
    state: {
      id: 'id-1',
      name: '',
      owner: '',
      labels: {},
      script: '',
      state: 'running',
      isCancelled: false,
      startedAt: 0,
      endedAt: null,
      counts,
      capsules: [],
      environments: [],
    },
    output: '',
    jobs: [],
    workDirectory,
  })
  return server
}

async function post(url: string, agent?: Agent): Promise<IncomingMessage> {
  const asked = request(url, { method: 'POST', agent: agent ?? false })
  asked.end()
  const [answer] = await once(asked, 'response')
  return answer
}

test('a server that closes lets requests end, and idle connections go at once', async () => {
  await using server = await withExecution()
  const { promise: output, resolve: answerOutput } = Promise.withResolvers<string>()
  let isAsked = false
  server.executions.output = () => {
    isAsked = true
    return output
  }
  const agent = new Agent({ keepAlive: true })
  const idle = await post(`${server.url}/list?token=good`, agent)
  idle.resume()
  await once(idle, 'end')
  const waiting = post(`${server.url}/output?token=good&id=id-1`)
  await expect.poll(() => isAsked, { message: 'the second request has not begun' }).toBe(true)
  const closing = server.close(20_000)
  await expect
    .poll(() => canConnect(server.url), { message: 'the server still takes connections' })
    .toBe(false)
  answerOutput('done')
  const answer = await waiting
  expect(answer.statusCode).toBe(200)
  answer.resume()
  await closing
  agent.destroy()
})

test('a server that closes cuts what takes too long', async () => {
  await using server = await withExecution()
  const download = await post(`${server.url}/download?token=good&id=id-1&path=big`)
  const startedMs = performance.now()
  await server.close(200)
  expect(performance.now() - startedMs).toBeLessThan(5000)
  await expect(async () => {
    for await (const _ of download);
  }).rejects.toThrow('aborted')
})

test('a connection on which nothing happens is ended', async () => {
  await using server = await serveTestApi({ idleMs: 100 })
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.write('POST /list HTTP/1.1\r\nHost: x\r\n')
  socket.resume()
  await once(socket, 'close')
})

test('what is no HTTP is answered 400, and headers that are too long 431', async () => {
  await using server = await serveTestApi()
  for (const [sent, status] of [
    ['nonsense\r\n\r\n', 400],
    ['POST /list HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['POST /list HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['POST /list HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n', 400],
    ['POST /list HTTP/1.1\r\nHost: x\r\nhost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n', 400],
    ['POST http:// HTTP/1.1\r\nHost: ][\r\n\r\n', 400],
    [`POST /list HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['POST /list HTTP/1.1\r\nHost: x\r\n__proto__: y\r\nConnection: close\r\n\r\n', 401],
  ] as const) {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.write(sent)
    const [answer] = await once(socket, 'data')
    expect([sent.slice(0, 80), Number(String(answer).slice(9, 12))]).toEqual([sent.slice(0, 80), status])
    socket.destroy()
  }
})

test('a port that is taken is told with what to do', async () => {
  await using server = await serveTestApi()
  const options = { host: '127.0.0.1', maxConnections: 1, idleMs: 1000, report: () => undefined }
  await expect(
    listen(server.api, { ...options, port: Number(new URL(server.url).port) }),
  ).rejects.toMatchObject({
    code: 'configuration-invalid',
    hint: expect.stringContaining('--port'),
  })
})

async function canConnect(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
