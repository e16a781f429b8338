import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { packScript, type Life, type TortureClient } from './server.ts'

/** A connection whose end is no fault: the server may close it whenever it likes. */
export function openSocket(life: Life): Socket {
  const { hostname, port } = new URL(life.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => socket.destroy())
  socket.resume()
  return socket
}

/** A whole request for `/start`, byte by byte. `headBytes` is where its body begins. */
export interface StartRequest {
  readonly bytes: Buffer
  readonly headBytes: number
}

export async function startRequest(client: TortureClient, archive: Blob): Promise<StartRequest> {
  const form = new FormData()
  form.set('script', 'workflow.ts')
  form.set('workDirectory', archive, 'work.tgz')
  const packed = new Response(form)
  const body = Buffer.from(await packed.arrayBuffer())
  const head = ['POST /start HTTP/1.1', 'Host: localhost', `Authorization: Bearer ${client.token}`]
  const rest = [
    `Content-Type: ${packed.headers.get('content-type')}`,
    `Content-Length: ${body.length}`,
    '',
    '',
  ]
  const bytes = Buffer.concat([Buffer.from([...head, ...rest].join('\r\n')), body])
  return { bytes, headBytes: bytes.length - body.length }
}

/** Sends the beginning of a request. */
export function beginRequest(life: Life, { bytes }: StartRequest, sentBytes: number): Socket {
  const socket = openSocket(life)
  socket.write(bytes.subarray(0, sentBytes))
  return socket
}

/** Connections that say nothing, or half a header. */
export function openIdle(life: Life, count: number): readonly Socket[] {
  return Array.from({ length: count }, (_, index) => {
    const socket = openSocket(life)
    if (index % 2 === 1) socket.write('POST /state HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    return socket
  })
}

export interface Flood {
  /** How many connections were open when all had been tried. */
  readonly held: number
  /** Lets go of all. Gives how many were still open just before. */
  end(): Promise<number>
}

/** Many connections, held by a process of its own that may have so many. */
export async function startFlood(life: Life, count: number): Promise<Flood> {
  const { hostname, port } = new URL(life.url)
  const program = fileURLToPath(new URL('flood.ts', import.meta.url))
  const words = [`--nofile=${count + 1000}`, process.execPath, program, hostname, port, String(count)]
  const child = spawn('prlimit', words, { stdio: ['pipe', 'pipe', 'inherit'] })
  const over = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const { value } = await lines.next()
  const { held } = JSON.parse(String(value)) as { held: number }
  return {
    held,
    async end() {
      child.stdin.end()
      const last = await lines.next()
      await over
      return (JSON.parse(String(last.value)) as { held: number }).held
    },
  }
}

/** A workflow that does nothing. */
export const nothingArchive = packScript(`
  import { functionTask } from 'molehill'
  export default functionTask('nothing', { run: () => ({}) })
`)
