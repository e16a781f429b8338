import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { createServer } from 'node:https'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Where a pod's log lies, and whether more will come. */
export interface PodLog {
  readonly file: string
  hasEnded(): boolean
}

/**
 * The endpoint of a kubelet that the API server asks for logs: `/containerLogs/NAMESPACE/POD/CONTAINER`, with `follow`.
 * Gives its port on 127.0.0.1.
 */
export async function serveLogs(
  keys: { readonly key: Buffer; readonly cert: Buffer },
  find: (namespace: string, pod: string) => PodLog | undefined,
): Promise<number> {
  const server = createServer(keys, (request, response) => {
    const url = new URL(request.url ?? '/', 'https://node')
    const [, kind, namespace = '', pod = ''] = url.pathname.split('/')
    const log = kind === 'containerLogs' ? find(namespace, pod) : undefined
    if (log === undefined) response.writeHead(404).end('no such pod')
    else send(log, url.searchParams.get('follow') === 'true', response)
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return (server.address() as AddressInfo).port
}

function send(log: PodLog, follows: boolean, response: ServerResponse): void {
  let position = 0
  const sendNew = () => {
    const bytes = readFrom(log.file, position)
    position += bytes.length
    if (bytes.length > 0) response.write(bytes)
  }
  if (!follows) {
    sendNew()
    response.end()
    return
  }
  response.flushHeaders()
  const timer = setInterval(() => {
    const ended = log.hasEnded()
    sendNew()
    if (ended) response.end()
  }, 50)
  response.on('close', () => clearInterval(timer))
}

function readFrom(file: string, position: number): Buffer {
  const descriptor = openSync(file, 'a+')
  try {
    const buffer = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - position))
    return buffer.subarray(0, readSync(descriptor, buffer, 0, buffer.length, position))
  } finally {
    closeSync(descriptor)
  }
}
