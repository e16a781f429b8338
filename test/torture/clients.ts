import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { uniformAt } from '../../src/workflow/random.ts'
import { tarGzip } from '../helpers/tar.ts'
import { incompressible } from '../helpers/incompressible.ts'
import { medianOf, type Report } from './figures.ts'
import { openDescriptors, processTree, residentBytes } from './processes.ts'
import { startLife, TortureClient, type Life } from './server.ts'
import { untilTrue } from './until.ts'

const idleConnections = 1000
const concurrentStates = 200
const slowUploads = 50
const cuts = 60
const fileBytes = 4 * 2 ** 20
const probeEveryMs = 100
const slowMs = 5000

const script = `
  import { functionTask } from 'molehill'
  export default functionTask('nothing', { run: () => ({}) })
`
const archive = tarGzip([
  { name: 'workflow.ts', content: script },
  { name: 'large.bin', content: incompressible(fileBytes) },
])

/** Clients that are slow, many, or gone: the server has to answer the others meanwhile, and to forget them. */
export async function torture({ seed }: { readonly seed: number }): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-clients-'))
  const dataDirectory = join(directory, 'data')
  try {
    const life = await startLife(dataDirectory)
    try {
      return await withClients(life, dataDirectory, seed)
    } finally {
      await life.end('SIGTERM')
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function withClients(life: Life, dataDirectory: string, seed: number): Promise<Report> {
  const client = new TortureClient()
  await client.login(life)
  const id = await startLarge(life, client)
  await (await download(life, client, id)).arrayBuffer()
  const idle = { memory: residentBytes(life.pid), descriptors: openDescriptors(life.pid) }
  const others = new Others(life, client, id)
  const faults: string[] = []
  const attempt = async (name: string, work: () => Promise<void>): Promise<void> => {
    others.phase = name
    await work().catch((error: unknown) => faults.push(`${name}: ${String(error)}`))
  }
  await attempt(`${idleConnections} idle connections`, () => idleFlood(life))
  await attempt(`${concurrentStates} concurrent states`, () => manyStates(life, client, id))
  await attempt(`${slowUploads} slow uploads`, () => uploadSlowly(life, client, seed))
  await attempt(`${cuts} uploads cut`, () => cutUploads(life, client, seed))
  await attempt(`${cuts} downloads cut`, () => cutDownloads(life, client, id, seed))
  await attempt('two removes at once', () => removeTwice(life, client))
  await attempt('remove during a download', () => removeWhileDownloading(life, client))
  const worst = await others.end()
  const settled = async (): Promise<boolean> =>
    openDescriptors(life.pid) <= idle.descriptors + 5 &&
    (await readdir(join(dataDirectory, 'uploads', 'incoming'))).length === 0
  await untilTrue('all is let go of', settled, { forMs: 20_000 }).catch((error: unknown) =>
    faults.push(String(error)),
  )
  const left = (await readdir(join(dataDirectory, 'uploads', 'incoming'))).length
  return {
    title: `slow, many and leaving clients, seed ${seed}`,
    figures: [
      ...worst.map(({ phase, ms }) => ({
        name: `${phase}: others wait, median and longest (ms)`,
        value: ms,
      })),
      { name: 'answers to others that failed', value: others.failed, most: 0 },
      { name: `answers to others after more than ${slowMs} ms`, value: others.slow, most: 0 },
      { name: 'uploads left on the disk', value: left, most: 0 },
      { name: 'descriptors more than before', value: openDescriptors(life.pid) - idle.descriptors, most: 5 },
      { name: 'processes below the server at the end', value: processTree(life.pid).length - 1 },
      {
        name: 'memory before and after (MiB)',
        value: `${mebibytes(idle.memory)}, ${mebibytes(residentBytes(life.pid))}`,
      },
      {
        name: 'memory more than before (MiB)',
        value: mebibytes(residentBytes(life.pid) - idle.memory),
        most: 100,
      },
    ],
    faults: [...faults, ...others.faults],
  }
}

/** A client that does nothing wrong, and asks for a state every now and then while others misbehave. */
class Others {
  phase = 'nothing'
  failed = 0
  slow = 0
  readonly faults: string[] = []
  readonly #waits = new Map<string, number[]>()
  readonly #over: Promise<void>
  #isOver = false

  constructor(life: Life, client: TortureClient, id: string) {
    this.#over = this.#ask(life, client, id)
  }

  async end(): Promise<readonly { readonly phase: string; readonly ms: string }[]> {
    this.#isOver = true
    await this.#over
    return [...this.#waits].map(([phase, waits]) => ({
      phase,
      ms: `${Math.round(medianOf(waits))}, ${Math.round(Math.max(...waits))}`,
    }))
  }

  async #ask(life: Life, client: TortureClient, id: string): Promise<void> {
    while (!this.#isOver) {
      const { phase } = this
      const began = performance.now()
      try {
        const { status } = await client.state(life, id)
        if (status !== 200) throw new Error(`/state answered ${status}`)
      } catch (error) {
        this.failed += 1
        this.faults.push(`${phase}: ${String(error)}`)
      }
      const ms = performance.now() - began
      if (ms > slowMs) this.slow += 1
      this.#waits.set(phase, [...(this.#waits.get(phase) ?? []), ms])
      await delay(probeEveryMs)
    }
  }
}

async function startLarge(life: Life, client: TortureClient): Promise<string> {
  const { status, json, text } = await client.start(life, new Blob([new Uint8Array(archive)]))
  if (status !== 200) throw new Error(`/start answered ${status}: ${text}`)
  const id = String(json['id'])
  await untilTrue('it has ended', async () => (await client.state(life, id)).json['state'] === 'finished', {
    forMs: 60_000,
  })
  return id
}

async function download(
  life: Life,
  client: TortureClient,
  id: string,
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${life.url}/download`, {
    method: 'POST',
    headers: { authorization: `Bearer ${client.token}` },
    body: new URLSearchParams({ id, path: 'large.bin' }),
    signal: signal ?? AbortSignal.timeout(60_000),
  })
}

/** Opens connections that say nothing, or half a header, and holds them for a while. */
async function idleFlood(life: Life): Promise<void> {
  const sockets = Array.from({ length: idleConnections }, (_, index) => {
    const socket = open(life)
    if (index % 2 === 1) socket.write('POST /state HTTP/1.1\r\nHost: localhost\r\nX-Slow: ')
    return socket
  })
  await delay(5000)
  for (const socket of sockets) socket.destroy()
}

async function manyStates(life: Life, client: TortureClient, id: string): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: concurrentStates }, async () => (await client.state(life, id)).status),
    )
    const bad = answers.filter((status) => status !== 200)
    if (bad.length > 0) throw new Error(`${bad.length} of ${concurrentStates} were answered with ${bad[0]}`)
  }
}

/** Uploads of which a few bytes come at a time, for a few seconds. */
async function uploadSlowly(life: Life, client: TortureClient, seed: number): Promise<void> {
  const body = await multipart()
  const sockets = Array.from({ length: slowUploads }, () => beginUpload(life, client, body))
  for (let turn = 0; turn < 30; turn += 1) {
    for (const [index, socket] of sockets.entries()) {
      const at = Math.floor(uniformAt(seed, 10 + index, turn) * (body.bytes.length - 100))
      socket.write(body.bytes.subarray(at, at + 20))
    }
    await delay(100)
  }
  for (const socket of sockets) socket.destroy()
}

async function cutUploads(life: Life, client: TortureClient, seed: number): Promise<void> {
  const body = await multipart()
  for (let cut = 0; cut < cuts; cut += 1) {
    const socket = beginUpload(life, client, body)
    const at = Math.floor(uniformAt(seed, 3, cut) * body.bytes.length)
    await new Promise<void>((resolve) => socket.write(body.bytes.subarray(0, at), () => resolve()))
    socket.destroy()
  }
}

async function cutDownloads(life: Life, client: TortureClient, id: string, seed: number): Promise<void> {
  for (let cut = 0; cut < cuts; cut += 1) {
    const aborting = new AbortController()
    const answer = await download(life, client, id, aborting.signal)
    if (answer.status !== 200) throw new Error(`/download answered ${answer.status}`)
    let left = Math.floor(uniformAt(seed, 4, cut) * fileBytes)
    const reader = answer.body?.getReader()
    while (left > 0) {
      const { value, done } = (await reader?.read()) ?? { value: undefined, done: true }
      if (done) break
      left -= value?.length ?? 0
    }
    aborting.abort()
  }
}

async function removeTwice(life: Life, client: TortureClient): Promise<void> {
  const id = await startLarge(life, client)
  const both = await Promise.all([1, 2].map(async () => client.post(life, 'remove', { id })))
  const statuses = both.map(({ status }) => status)
  if (!statuses.some((status) => status < 300) || statuses.some((status) => status >= 500))
    throw new Error(
      `the two removes were answered with ${statuses.join(' and ')}: ${both.map(({ text }) => text).join(' ')}`,
    )
  const { status } = await client.state(life, id)
  if (status < 400) throw new Error(`/state of a removed execution was answered with ${status}`)
}

/** What was begun is sent to its end or cut, and the next one is told that there is nothing. */
async function removeWhileDownloading(life: Life, client: TortureClient): Promise<void> {
  const id = await startLarge(life, client)
  const answer = await download(life, client, id)
  const reader = answer.body?.getReader()
  await reader?.read()
  const removed = await client.post(life, 'remove', { id })
  if (removed.status >= 300) throw new Error(`/remove answered ${removed.status}: ${removed.text}`)
  for (;;) {
    const part = await reader?.read().catch(() => undefined)
    if (part === undefined || part.done) break
  }
  const late = await download(life, client, id)
  await late.arrayBuffer()
  if (late.status < 400 || late.status >= 500)
    throw new Error(`/download of a removed execution was answered with ${late.status}`)
}

interface Body {
  readonly type: string
  readonly bytes: Buffer
}

async function multipart(): Promise<Body> {
  const form = new FormData()
  form.set('script', 'workflow.ts')
  form.set('workDirectory', new Blob([new Uint8Array(archive)]), 'work.tgz')
  const packed = new Response(form)
  const bytes = Buffer.from(await packed.arrayBuffer())
  return { type: packed.headers.get('content-type') ?? '', bytes }
}

function beginUpload(life: Life, client: TortureClient, { type, bytes }: Body): Socket {
  const socket = open(life)
  const head = ['POST /start HTTP/1.1', 'Host: localhost', `Authorization: Bearer ${client.token}`]
  const rest = [`Content-Type: ${type}`, `Content-Length: ${bytes.length}`, '', '']
  socket.write([...head, ...rest].join('\r\n'))
  return socket
}

/** A connection whose end is no fault: the server may close it whenever it likes. */
function open(life: Life): Socket {
  const { hostname, port } = new URL(life.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => socket.destroy())
  socket.resume()
  return socket
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
