import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { buffer, text as readAll } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { toJobId, type JobRequest } from '../../../src/environment/environment.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import { scanContent } from '../../../src/environment/job-files/scan-tree.ts'
import { tarBytes } from '../../../src/environment/job-files/tar-stream.ts'
import { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { noSignal } from '../../../test/conformance/trial.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { startSwift, type Swift } from '../../../test/daemons/swift.ts'
import { openObjectStorage, type ObjectStorage } from './object-storage.ts'
import { kubernetesOptions } from '../options.ts'
import { placesBelow, type Places } from '../scripts/places.ts'
import { stageInText } from '../scripts/staging-scripts.ts'
import { requestArchive } from './stager.ts'

const patienceMs = 120_000
let root: string
let places: Places
let stop: AbortController
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'molehill-test-storage-'))
  places = placesBelow(join(root, 'pod'), join(root, 'message'))
  mkdirSync(places.root)
  stop = new AbortController()
})
afterEach(() => {
  stop.abort()
  rmSync(root, { recursive: true, force: true })
})

/** A work directory with a large file and a small one. */
function makeWork(name: string, fill = 'molehill'): string {
  const directory = join(root, name)
  mkdirSync(join(directory, 'deep'), { recursive: true })
  writeFileSync(join(directory, 'large.bin'), Buffer.alloc(3_000_000, fill))
  writeFileSync(join(directory, 'deep/small.txt'), 'small\n', { mode: 0o600 })
  return directory
}

function optionsOf(given: Readonly<Record<string, unknown>>) {
  return kubernetesOptions.parse({ image: 'x', stagingLimit: 60_000, ...given })
}

function open(given: Readonly<Record<string, unknown>>, now: () => number = Date.now): ObjectStorage {
  const parts = { options: optionsOf(given), instance: 'i1', directory: join(root, 'own'), now }
  const storage = openObjectStorage(parts, stop.signal)
  if (storage === undefined) throw new Error('no storage')
  onTestFinished(() => storage.close())
  return storage
}

/** What a pod has and says once it has got its own archive, which names the rest. */
async function stageIn(
  storage: ObjectStorage,
  workDirectory: string,
  given: Readonly<Record<string, unknown>>,
  before: () => Promise<void> = async () => undefined,
) {
  const request: JobRequest = {
    id: toJobId('job-1'),
    command: ['true'],
    env: {},
    workDirectory,
    outputs: [],
    resources: {},
    inputs: ['large.bin', 'deep'].map((to) => ({ from: join(workDirectory, to), to })),
  }
  const parts = { trees: new WorkTrees(), options: optionsOf(given), storage }
  const entries = await requestArchive(parts, request, new Set(), noSignal)
  const tar = spawn('tar', ['-x', '-C', places.root], { stdio: ['pipe', 'ignore', 'inherit'] })
  const unpacked = once(tar, 'close')
  await pipeline(Readable.from(tarBytes(entries)), tar.stdin)
  expect(await unpacked).toEqual([0, null])
  expect(readdirSync(join(places.root, 'shared'))).toEqual([])
  const addresses = readFileSync(join(places.root, 'contents'), 'utf8')
  writeFileSync(places.in, '')
  await before()
  const script = stageInText({ limitMs: 3000, contents: { isHttps: false, hasAuthority: false } }, places)
  const child = spawn('busybox', ['sh', '-c', script], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [[code], said] = await Promise.all([once(child, 'close'), readAll(child.stderr)])
  return { code: code as number, said, addresses }
}

describeWith('swift', 'an object storage of S3', () => {
  let swift: Swift
  let count = 0
  let bucket: string
  beforeAll(async () => {
    swift = await startSwift()
  }, 300_000)
  afterAll(() => swift.stop(), 60_000)
  beforeEach(async () => {
    count += 1
    bucket = await swift.makeBucket(`bucket-${count}`)
  })

  const given = (more: object = {}) => ({
    objectStorage: { url: `${bucket}/some/prefix`, accessKey: swift.keys.accessKey, ...more },
    objectStorageSecret: swift.keys.secretKey,
  })

  test('gives a pod the work directory', { timeout: patienceMs }, async () => {
    const work = makeWork('work')
    const storage = open(given())
    const { addresses, ...end } = await stageIn(storage, work, given())
    expect(end).toEqual({ code: 0, said: '' })
    expect(addresses).toMatch(/^[0-9a-f]+ http:\S+\/some\/prefix\/molehill-i1-[0-9a-f]+\.tar\?X-Amz-\S+\n$/)
    expect(addresses).not.toContain(swift.keys.secretKey)
    const [hash = ''] = readdirSync(join(places.root, 'shared'))
    const content = join(places.root, 'shared', hash, 'content')
    expect(readFileSync(join(content, 'large.bin')).equals(readFileSync(join(work, 'large.bin')))).toBe(true)
    expect(readFileSync(join(content, 'deep/small.txt'), 'utf8')).toBe('small\n')
    expect(existsSync(join(places.root, 'contents'))).toBe(false)
    await storage.discard(keyOf(work))
    expect(await swift.list(bucket)).toEqual([])
  })

  test('has each content once, as long as an execution uses it', { timeout: patienceMs }, async () => {
    const storage = open(given())
    const content = await scanContent(makeWork('work'), 'content', noSignal)
    const other = await scanContent(makeWork('other', 'other'), 'content', noSignal)
    const [one, two] = ['1', '2'].map((digit) => digit.repeat(20)) as [string, string]
    const addresses = await Promise.all([one, one, two].map((key) => storage.place(key, content, 60_000)))
    expect(new Set(addresses.map((address) => address.split('?')[0])).size).toBe(1)
    await storage.place(two, other, 60_000)
    expect(await swift.list(bucket)).toHaveLength(2)

    // The next life knows what is there, and finds it.
    const next = open(given())
    const address = await next.place(two, content, 60_000)
    expect((await buffer((await fetch(address)).body!)).length).toBeGreaterThan(3_000_000)
    await next.discard(one)
    expect(await swift.list(bucket)).toHaveLength(2)
    await next.discard(two)
    await next.discard(two)
    expect(await swift.list(bucket)).toEqual([])
    expect(readdirSync(join(root, 'own/stored'))).toEqual([])
  })

  test('says what is wrong, and addresses end', { timeout: patienceMs }, async () => {
    const content = await scanContent(makeWork('work'), 'content', noSignal)
    const key = '1'.repeat(20)
    await open(given()).check()
    const wrong = open({ ...given(), objectStorageSecret: 'planted-secret' })
    await expect(wrong.check()).rejects.toThrow(
      /^The object storage http\S+ answers 403 to PUT. It says: Signature/,
    )
    const error = await wrong.place(key, content, 1000).catch(String)
    expect(error).not.toMatch(/planted-secret|X-Amz/)
    const none = open({ ...given(), objectStorage: { ...given().objectStorage, url: `${bucket}-none` } })
    await expect(none.check()).rejects.toThrow(/answers 404 to PUT. It says: NoSuchBucket/)
    const early = open(given(), () => Date.now() - 3_000_000)
    expect((await fetch(await early.place(key, content, 60_000))).status).toBe(403)
    const storage = open(given())
    const address = await storage.place(key, content, 60_000)
    expect((await fetch(address)).status).toBe(200)
    expect((await fetch(address, { method: 'PUT', body: 'x' })).status).toBe(403)
    expect((await fetch(address.split('?')[0]!)).ok).toBe(false)
    await storage.discard(key)
  })

  test('takes no file that is not what it was', { timeout: patienceMs }, async () => {
    const work = makeWork('work')
    const storage = open(given())
    const content = await scanContent(work, 'content', noSignal)
    writeFileSync(join(work, 'large.bin'), Buffer.alloc(2_500_000))
    await expect(storage.place('1'.repeat(20), content, 1000)).rejects.toThrow(
      /changed while it was being sent/,
    )
    expect(await swift.list(bucket)).toEqual([])
  })

  test('a pod that cannot fetch says so, without what opens the store', { timeout: patienceMs }, async () => {
    const work = makeWork('work')
    const storage = open(given())
    const { code, said } = await stageIn(storage, work, given(), () => storage.discard(keyOf(work)))
    expect(code).toBe(1)
    expect(said).toMatch(/^The shared files could not be fetched from http:\S+\.tar in time: .*404/)
    expect(said).not.toContain('X-Amz')
  })
})

test('a web server that takes PUT does without keys', { timeout: patienceMs }, async () => {
  const objects = new Map<string, Buffer>()
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method, url = '' } = request
    const body = await buffer(request)
    const known = objects.get(url)
    if (method === 'PUT') objects.set(url, body)
    if (method === 'DELETE') objects.delete(url)
    if (method === 'PUT' || method === 'DELETE') response.writeHead(204).end()
    else if (known === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-length': known.length }).end(method === 'HEAD' ? '' : known)
  }
  const server = createServer((request, response) => void answer(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
  })
  const given = {
    objectStorage: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/files/` },
  }
  const work = makeWork('work')
  const storage = open(given)
  await storage.check()
  expect(objects.size).toBe(0)
  expect(await stageIn(storage, work, given)).toMatchObject({ code: 0, said: '' })
  expect([...objects.keys()]).toEqual([expect.stringMatching(/^\/files\/molehill-i1-[0-9a-f]+\.tar$/)])
  const [hash = ''] = readdirSync(join(places.root, 'shared'))
  expect(readFileSync(join(places.root, 'shared', hash, 'content/large.bin')).length).toBe(3_000_000)
  server.closeAllConnections()
  await storage.discard(keyOf(work))
  expect(objects.size).toBe(0)
})
