import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { noSignal } from '../../test/conformance/trial.ts'
import { EnvironmentError } from '../../src/environment/environment.ts'
import { askSlurmrestd } from './rest-client.ts'

let server: Server | undefined
afterEach(() => server?.close())

/** A stand-in for slurmrestd, which resets connections too seldom for a test: here it is so many of the first ones. */
async function startResetting(resets: number) {
  const requests: string[] = []
  server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (head) => {
      requests.push(String(head).split(' ', 1)[0]!)
      if (requests.length <= resets) socket.resetAndDestroy()
      else socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

test.each(['GET', 'DELETE'] as const)('%s is sent again where the connection is reset', async (method) => {
  const { url, requests } = await startResetting(1)
  expect(await askSlurmrestd({ url }, method, '/', undefined, noSignal)).toMatchObject({ status: 200 })
  expect(requests).toEqual([method, method])
})

test('a connection that is reset again is an error', async () => {
  const { url, requests } = await startResetting(2)
  const asked = askSlurmrestd({ url }, 'GET', '/', undefined, noSignal)
  await expect(asked).rejects.toThrow(EnvironmentError)
  expect(requests).toEqual(['GET', 'GET'])
})

test('a submission is sent once, for it may have been taken', async () => {
  const { url, requests } = await startResetting(1)
  await expect(askSlurmrestd({ url }, 'POST', '/', {}, noSignal)).rejects.toThrow(EnvironmentError)
  expect(requests).toEqual(['POST'])
})
