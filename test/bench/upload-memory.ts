/**
 * How much memory a server takes while a work directory of 2 GB is uploaded, and how fast that goes.
 * Run: node test/bench/upload-memory.ts [megabytes]
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { createGzip } from 'node:zlib'
import { tarMember } from '../helpers/tar.ts'

const script = `import { functionTask } from 'molehill'
export default functionTask('nothing', { inputs: [], outputs: [], run: () => ({}) })
`
const mebibyte = 2 ** 20
const boundary = 'edge'

if (process.argv[2] === '--serve') await serve()
else await measure(Number(process.argv[2] ?? 2048))

/** In a process of its own, so that only the server's memory is looked at. */
async function serve(): Promise<void> {
  const { password, startTestServer } = await import('../helpers/running-server.ts')
  const server = await startTestServer({ http: true })
  process.send?.({ url: server.url, password, dataDirectory: server.dataDirectory })
  await once(process, 'message')
  await server[Symbol.asyncDispose]()
  process.disconnect()
}

async function measure(megabytes: number): Promise<void> {
  const child = spawn(
    process.execPath,
    ['--max-semi-space-size=1', fileURLToPath(import.meta.url), '--serve'],
    {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  )
  const [{ url, password }] = await once(child, 'message')
  const login = await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams({ password }) })
  const { token } = Object(await login.json())
  const before = await residentMegabytes(child.pid)
  let largest = before
  const sampling = setInterval(() => {
    void residentMegabytes(child.pid).then((now) => (largest = Math.max(largest, now)))
  }, 50)
  const startedMs = performance.now()
  const answer = await upload(`${url}/start?token=${token}&script=flow.ts`, megabytes)
  const seconds = (performance.now() - startedMs) / 1000
  clearInterval(sampling)
  console.log(
    JSON.stringify({
      megabytes,
      answer,
      seconds: Math.round(seconds),
      rssBefore: before,
      rssLargest: largest,
    }),
  )
  child.send('stop')
  await once(child, 'exit')
}

async function upload(url: string, megabytes: number): Promise<string> {
  const sent = request(url, {
    method: 'POST',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  })
  const answered = once(sent, 'response')
  const archive = Readable.from(tarPieces(megabytes)).pipe(createGzip({ level: 0, chunkSize: 256 * 1024 }))
  sent.write(
    `--${boundary}\r\nContent-Disposition: form-data; name="workDirectory"; filename="w.tgz"\r\n\r\n`,
  )
  for await (const chunk of archive) if (!sent.write(chunk)) await once(sent, 'drain')
  sent.end(`\r\n--${boundary}--\r\n`)
  const [answer] = await answered
  let text = `${answer.statusCode} `
  for await (const chunk of answer) text += String(chunk)
  return text
}

function* tarPieces(megabytes: number): Generator<Buffer> {
  yield tarMember({ name: 'flow.ts', content: script })
  const sizeBytes = megabytes * mebibyte
  yield tarMember({ name: 'big', sizeField: `${sizeBytes.toString(8).padStart(11, '0')} ` })
  const block = randomBytes(mebibyte)
  for (let sent = 0; sent < megabytes; sent += 1) yield block
  yield Buffer.alloc(1024)
}

async function residentMegabytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024)
}
