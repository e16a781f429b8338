import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readOpenFilesLimit } from '../../src/isolation/open-files-limit.ts'
import { uniformAt } from '../../src/workflow/random.ts'
import { tarGzip } from '../helpers/tar.ts'
import { incompressible } from '../helpers/incompressible.ts'
import { stopFigures, type Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import { describeError, Others, slowMs } from './others.ts'
import { openDescriptors, processTree, residentBytes } from './processes.ts'
import { packScript, startLife, TortureClient, type Ending, type Life } from './server.ts'
import {
  beginRequest,
  nothingArchive,
  openIdle,
  openSocket,
  startFlood,
  startRequest,
  type StartRequest,
} from './sockets.ts'
import { untilTrue } from './until.ts'

const idleConnections = 10_000
/** A few are for the others. */
const spareConnections = 50
/** A server takes no more than three fifths of what it may open. */
const heldConnections = Math.min(
  idleConnections,
  Math.floor((readOpenFilesLimit() ?? Infinity) * 0.6) - spareConnections,
)
const concurrentStates = 1000
const roundsOfStates = 3
/** More than a server with the usual cap serves at the same time. */
const statesBeyondCap = 1500
/** A server with the usual cap ends within this time what it has refused and what says nothing. */
const refusedMs = 7000
const slowUploads = 50
const slowDownloads = 30
const fanSize = 150
/** A request of a kilobyte is cut at so many bytes, and so on. */
const cutStepBytes = 7
const cuts = 60
const fileBytes = 4 * 2 ** 20

const script = `
  import { functionTask } from 'molehill'
  export default functionTask('nothing', { run: () => ({}) })
`
const archive = new Blob([
  new Uint8Array(
    tarGzip([
      { name: 'workflow.ts', content: script },
      { name: 'large.bin', content: incompressible(fileBytes) },
    ]),
  ),
])
/** Room for all connections: another server shows what happens without. */
const roomy = { flags: ['--max-connections', String(heldConnections + spareConnections)] }

/** Clients that are slow, many, or gone: the server has to answer the others meanwhile, and to forget them. */
export async function torture({ seed }: { readonly seed: number }): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-clients-'))
  const dataDirectory = join(directory, 'data')
  try {
    const capped = await floodCapped(join(directory, 'capped'))
    const life = await startLife(dataDirectory, roomy)
    try {
      return await withClients(life, dataDirectory, seed, capped)
    } finally {
      await life.end('SIGTERM')
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

interface Capped {
  readonly held: number
  /** Of the states that were asked for at once, those that were told to come again. */
  readonly putOff: number
  readonly faults: readonly string[]
}

/** More connections than a server takes: it tells them so, and is still there when they have gone. */
async function floodCapped(dataDirectory: string): Promise<Capped> {
  const life = await startLife(dataDirectory)
  const faults: string[] = []
  try {
    const client = new TortureClient()
    await client.login(life)
    const flood = await startFlood(life, idleConnections)
    await delay(refusedMs)
    const held = await flood.end()
    await untilTrue(
      'it answers when they have gone',
      async () => (await client.post(life, 'list').catch(() => undefined))?.status === 200,
      { forMs: 20_000 },
    ).catch((error: unknown) => faults.push(String(error)))
    const id = await startLarge(life, client)
    const putOff = await askStates(life, client, id, statesBeyondCap).catch((error: unknown) => {
      faults.push(`${statesBeyondCap} states at once: ${describeError(error)}`)
      return 0
    })
    return { held, putOff, faults }
  } finally {
    await life.end('SIGTERM')
  }
}

async function withClients(life: Life, dataDirectory: string, seed: number, capped: Capped): Promise<Report> {
  const client = new TortureClient()
  await client.login(life)
  const id = await startLarge(life, client)
  await (await download(life, client, id)).arrayBuffer()
  const idle = { memory: residentBytes(life.pid), descriptors: openDescriptors(life.pid) }
  const others = new Others(life, client, id)
  const faults: string[] = []
  const attempt = async (name: string, work: () => Promise<void>): Promise<void> => {
    others.phase = name
    await work().catch((error: unknown) => faults.push(`${name}: ${describeError(error)}`))
  }
  const flooded = { held: 0, memory: 0 }
  const memories: number[] = []
  for (const round of ['', ' again', ' a third time']) {
    await attempt(`${heldConnections} idle connections${round}`, async () => {
      const flood = await startFlood(life, heldConnections)
      await delay(5000)
      flooded.held = flood.held
      flooded.memory = Math.max(flooded.memory, residentBytes(life.pid))
      await flood.end()
      await untilTrue('they are let go of', () => openDescriptors(life.pid) <= idle.descriptors + 5, {
        forMs: 20_000,
      })
    })
    await attempt(`${concurrentStates} concurrent states${round}`, async () => {
      for (let turn = 0; turn < roundsOfStates; turn += 1) await askStates(life, client, id, concurrentStates)
    })
    memories.push(residentBytes(life.pid))
  }
  await attempt(`${slowUploads} slow uploads`, () => uploadSlowly(life, client))
  await attempt(`${slowDownloads} slow downloads`, () => downloadSlowly(life, client, id))
  await attempt(`${cuts} uploads cut`, () => cutUploads(life, client, seed))
  await attempt('a small request cut everywhere', () => cutEverywhere(life, client, seed))
  await attempt(`${cuts} downloads cut`, () => cutDownloads(life, client, id, seed))
  await attempt('two removes at once', () => removeTwice(life, client))
  await attempt('remove during an upload', () => removeDuringUpload(life, client))
  await attempt('remove during a download', () => removeWhileDownloading(life, client))
  await attempt('downloads during a remove', () => downloadDuringRemove(life, client))
  const worst = await others.end()
  const settled = async (): Promise<boolean> =>
    openDescriptors(life.pid) <= idle.descriptors + 5 &&
    (await readdir(join(dataDirectory, 'uploads', 'incoming'))).length === 0
  await untilTrue('all is let go of', settled, { forMs: 20_000 }).catch((error: unknown) =>
    faults.push(String(error)),
  )
  const left = (await readdir(join(dataDirectory, 'uploads', 'incoming'))).length
  const after = { memory: residentBytes(life.pid), descriptors: openDescriptors(life.pid) }
  const processes = processTree(life.pid).length - 1
  const endings: Ending[] = []
  await attempt('SIGTERM', async () => {
    endings.push(await stopAmidClients(life, client, dataDirectory, id))
  })
  return {
    title: `slow, many and leaving clients, seed ${seed}`,
    figures: [
      ...worst.map(({ phase, ms }) => ({
        name: `${phase}: others wait, median, p99, longest (ms)`,
        value: ms,
      })),
      {
        name: `of ${idleConnections} connections held by a server with the usual cap`,
        value: capped.held,
        most: 1000,
      },
      { name: `of ${statesBeyondCap} states at once put off by it, then answered`, value: capped.putOff },
      {
        name: `of ${heldConnections} connections held by a server with room`,
        value: flooded.held,
        least: heldConnections,
      },
      { name: 'memory with them (MiB)', value: mebibytes(flooded.memory), most: 500 },
      { name: 'answers to others that failed', value: others.failed, most: 0 },
      { name: `answers to others after more than ${slowMs} ms`, value: others.slow, most: 0 },
      { name: 'uploads left on the disk', value: left, most: 0 },
      { name: 'descriptors more than before', value: after.descriptors - idle.descriptors, most: 5 },
      { name: 'processes below the server at the end', value: processes },
      {
        name: 'memory before and after (MiB)',
        value: `${mebibytes(idle.memory)}, ${mebibytes(after.memory)}`,
      },
      {
        name: 'memory more than before (MiB)',
        value: mebibytes(after.memory - idle.memory),
        // What was freed is not all given back to the system.
        most: 250,
      },
      {
        name: 'memory after idle connections and states, once, twice and three times (MiB)',
        value: memories.map(mebibytes).join(', '),
      },
      {
        // The first times take what the system does not get back; a leak takes as much each time.
        name: 'memory that the third time has added (MiB)',
        value: mebibytes((memories[2] ?? 0) - (memories[1] ?? 0)),
        most: 60,
      },
      ...stopFigures(endings),
    ],
    faults: [...capped.faults, ...faults, ...others.faults],
  }
}

async function startLarge(life: Life, client: TortureClient): Promise<string> {
  const { status, json, text } = await client.start(life, archive)
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

/** So many clients ask for a state at once. Gives how many were told to come again before they were answered. */
async function askStates(life: Life, client: TortureClient, id: string, count: number): Promise<number> {
  const program = fileURLToPath(new URL('states.ts', import.meta.url))
  const child = spawn(process.execPath, [program, life.url, id, String(count)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(client.token)
  const said = await text(child.stdout)
  const { putOff, bad, first } = JSON.parse(said) as { putOff: number; bad: number; first?: string }
  if (bad > 0) throw new Error(`${bad} of ${count} were not answered well, the first: ${first}`)
  return putOff
}

/** Uploads of which a few bytes come at a time, for a few seconds. */
async function uploadSlowly(life: Life, client: TortureClient): Promise<void> {
  const request = await startRequest(client, archive)
  const sockets = Array.from({ length: slowUploads }, () => beginRequest(life, request, request.headBytes))
  for (let turn = 0; turn < 30; turn += 1) {
    const at = request.headBytes + 20 * turn
    for (const socket of sockets) socket.write(request.bytes.subarray(at, at + 20))
    await delay(100)
  }
  for (const socket of sockets) socket.destroy()
}

/** Downloads of which little is read, for a few seconds. */
async function downloadSlowly(life: Life, client: TortureClient, id: string): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: slowDownloads }, async () => download(life, client, id)),
  )
  const readers = answers.map(({ body }) => body?.getReader())
  for (let turn = 0; turn < 20; turn += 1) {
    for (const reader of readers) await reader?.read()
    await delay(100)
  }
  for (const reader of readers) await reader?.cancel()
}

/** A large upload cut at random places. */
async function cutUploads(life: Life, client: TortureClient, seed: number): Promise<void> {
  const request = await startRequest(client, archive)
  for (let cut = 0; cut < cuts; cut += 1)
    await sendAndLeave(life, request, Math.floor(uniformAt(seed, 3, cut) * request.bytes.length))
}

/** A small request cut at every few bytes, its head included: none of them starts anything. */
async function cutEverywhere(life: Life, client: TortureClient, seed: number): Promise<void> {
  const request = await startRequest(client, nothingArchive)
  const known = await countExecutions(life, client)
  const first = 1 + Math.floor(uniformAt(seed, 5, 0) * cutStepBytes)
  for (let at = first; at < request.bytes.length; at += cutStepBytes) await sendAndLeave(life, request, at)
  const now = await countExecutions(life, client)
  if (now !== known) throw new Error(`there are ${now} executions instead of ${known}`)
}

async function sendAndLeave(life: Life, request: StartRequest, sentBytes: number): Promise<void> {
  const socket = openSocket(life)
  await new Promise<void>((resolve) => socket.write(request.bytes.subarray(0, sentBytes), () => resolve()))
  socket.destroy()
}

async function countExecutions(life: Life, client: TortureClient): Promise<number> {
  return ((await client.post(life, 'list')).json as unknown as unknown[]).length
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

/** Executions go while an upload is coming in, and the upload becomes one. */
async function removeDuringUpload(life: Life, client: TortureClient): Promise<void> {
  const request = await startRequest(client, archive)
  const socket = beginRequest(life, request, request.bytes.length / 2)
  let answer = ''
  socket.on('data', (bytes: Buffer) => (answer += bytes.toString()))
  const id = await startLarge(life, client)
  const { status } = await client.post(life, 'remove', { id })
  if (status >= 300) throw new Error(`/remove was answered with ${status}`)
  socket.write(request.bytes.subarray(request.bytes.length / 2))
  await untilTrue('the upload is answered', () => answer.includes('"id"') || socket.destroyed, {
    forMs: 60_000,
  })
  socket.destroy()
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`the upload was answered with ${answer}`)
}

/** Downloads that begin while their execution goes are whole, cut, or told that there is nothing. */
async function downloadDuringRemove(life: Life, client: TortureClient): Promise<void> {
  const id = await startLarge(life, client)
  const answers = Array.from({ length: 20 }, async (_, index) => {
    await delay(index * 5)
    const answer = await download(life, client, id)
    const bytes = await answer.arrayBuffer().then(
      ({ byteLength }) => byteLength,
      () => undefined,
    )
    return { status: answer.status, bytes }
  })
  await delay(30)
  const removed = await client.post(life, 'remove', { id })
  if (removed.status >= 300) throw new Error(`/remove was answered with ${removed.status}`)
  for (const { status, bytes } of await Promise.all(answers)) {
    if (status === 200 && bytes !== undefined && bytes !== fileBytes)
      throw new Error(`a download ended well with ${bytes} of ${fileBytes} bytes`)
    if (status !== 200 && status !== 404 && status !== 417)
      throw new Error(`a download was answered with ${status}`)
  }
}

/** A server with clients of all kinds at it and an execution under way is asked to stop; nothing is lost. */
async function stopAmidClients(
  life: Life,
  client: TortureClient,
  dataDirectory: string,
  large: string,
): Promise<Ending> {
  const { json } = await client.start(life, packScript(fanScript(fanSize, '', 0.02)))
  const id = String(json['id'])
  const request = await startRequest(client, archive)
  const sockets = [
    ...openIdle(life, 200),
    ...Array.from({ length: 20 }, () => beginRequest(life, request, request.bytes.length / 2)),
  ]
  const answer = await download(life, client, large)
  await delay(300)
  const ending = await life.end('SIGTERM')
  for (const socket of sockets) socket.destroy()
  await answer.body?.cancel().catch(() => undefined)
  const next = await startLife(dataDirectory)
  try {
    const state = async () => (await client.state(next, id)).json['state']
    await untilTrue('it has ended', async () => (await state()) !== 'running', { forMs: 120_000 })
    const { json: output } = await client.post(next, 'output', { id })
    const rows = await checkHookRows(dataDirectory, id, fanSize, String(output['output']))
    if (Object.values(rows).some((wrong) => wrong !== 0)) throw new Error(JSON.stringify(rows))
  } finally {
    await next.end('SIGTERM')
  }
  return ending
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
