import { createServer } from 'node:https'
import { generate } from 'selfsigned'
import { expect, onTestFinished, test } from 'vitest'
import { Connection } from './connection.ts'

const signal = new AbortController().signal

/** An API server that says so often that it is too busy, and then answers; with what asks it. */
async function busyServer(times: number, retryAfter: string) {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  })
  let asked = 0
  const server = createServer({ key, cert }, (request, response) => {
    request.resume()
    asked += 1
    const isBusy = asked <= times
    response.writeHead(isBusy ? 429 : 200, { 'retry-after': retryAfter, 'content-type': 'application/json' })
    response.end(
      JSON.stringify(
        isBusy ? { kind: 'Status', status: 'Failure', message: 'too busy', code: 429 } : { a: 1 },
      ),
    )
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const access = { server: `https://localhost:${port}`, tls: { ca: cert }, headers: {}, secrets: [] }
  const credentials = { told: 'the test', read: async () => access }
  const connection = new Connection(credentials, { now: Date.now })
  onTestFinished(() => connection.close())
  return { ask: () => connection.ask({ method: 'POST', path: '/x', body: {} }, signal), asked: () => asked }
}

test('a server that asks to wait a moment is asked again after it', async () => {
  const { ask, asked } = await busyServer(2, '1')
  const began = performance.now()
  expect(await ask()).toEqual({ a: 1 })
  expect(asked()).toBe(3)
  expect(performance.now() - began).toBeGreaterThan(1900)
})

test('one that asks to wait long is not waited for', async () => {
  const { ask, asked } = await busyServer(1, '60')
  await expect(ask()).rejects.toMatchObject({ status: 429, retryAfterMs: 60_000, message: 'too busy' })
  expect(asked()).toBe(1)
})
