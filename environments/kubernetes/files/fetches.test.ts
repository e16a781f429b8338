import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { EnvironmentError, toJobId, type JobRequest } from '../../../src/environment/environment.ts'
import { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { startJobFilesServer, type JobFilesServer } from '../../../test/helpers/job-files-server.ts'
import { Fetches } from './fetches.ts'
import { openFetchTokens, type FetchTokens } from './fetch-token.ts'
import { KeptRequests } from '../pods/kept-requests.ts'
import { ends, pod } from '../pods/observe.fixtures.ts'
import type { ObjectStorage } from './object-storage.ts'
import { kubernetesOptions } from '../options.ts'
import { placesBelow, type Places } from '../scripts/places.ts'
import { stageInText } from '../scripts/staging-scripts.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { WirePod } from '../cluster/wire.ts'

const patienceMs = 60_000
const path = [...(process.env['PATH'] ?? '').split(delimiter), '/bin', '/usr/bin']
const find = (program: string): string =>
  path.map((each) => join(each, program)).find((file) => existsSync(file)) ?? program

let root: string
let server: JobFilesServer
let requests: KeptRequests
let tokens: FetchTokens
let pods: WirePod[]
let stop: AbortController
let fetches: Fetches
let places: Places
let warnings: string[]
let storage: Pick<ObjectStorage, 'place'> | undefined

const id = toJobId('job-1')
const waiting = () => pod({ uid: 'uid-1', stageIn: { running: {} } })

/** An image as the smallest one may be: nothing but busybox, and curl where it is to have it. */
const programs = mkdtempSync(join(tmpdir(), 'molehill-programs-'))
const withCurl = mkdtempSync(join(tmpdir(), 'molehill-programs-'))
for (const directory of [programs, withCurl])
  for (const applet of [
    'sh',
    ...execFileSync(find('busybox'), ['--list'], { encoding: 'utf8' }).trim().split('\n'),
  ])
    if (!existsSync(join(directory, applet))) symlinkSync(find('busybox'), join(directory, applet))
symlinkSync(find('curl'), join(withCurl, 'curl'))
afterAll(() => {
  for (const directory of [programs, withCurl]) rmSync(directory, { recursive: true })
})

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "molehill-test-fetch '$x-"))
  mkdirSync(join(root, 'own'))
  mkdirSync(join(root, 'work'))
  writeFileSync(join(root, 'work/large.bin'), Buffer.alloc(5_000_000, 'molehill'))
  places = placesBelow(join(root, 'pod'), join(root, 'message'))
  mkdirSync(places.root)
  server = await startJobFilesServer()
  pods = [waiting()]
  warnings = []
  storage = undefined
  await openLife()
  await requests.keep(request())
})
afterEach(async () => {
  stop.abort()
  await server[Symbol.asyncDispose]()
  rmSync(root, { recursive: true, force: true })
})

function request(): JobRequest {
  const workDirectory = join(root, 'work')
  return { id, command: ['true'], env: {}, workDirectory, inputs: [], outputs: [], resources: {} }
}

/** What the server knows after it has been started. */
async function openLife(): Promise<void> {
  stop = new AbortController()
  requests = new KeptRequests(join(root, 'own'))
  tokens = await openFetchTokens(join(root, 'own'))
  const options = kubernetesOptions.parse({ image: 'x', fetchFrom: 'http://molehill.example' })
  fetches = new Fetches(
    {
      cluster: {} as Cluster,
      options,
      requests,
      trees: new WorkTrees(),
      warn: (message) => warnings.push(message),
      storage: storage as ObjectStorage | undefined,
      tokens,
      podsOf: (asked) => (asked === id ? pods : []),
    },
    stop.signal,
  )
  server.desk.serve('i1', (asked) => fetches.open(asked), stop.signal)
}

const address = (job: string = id, place = 'i1') => `${server.url}/job-files/${place}/${job}`

async function ask(url = address(), token: string | null = tokens.of(id), asker = 'uid-1') {
  const headers = { 'molehill-pod': asker, ...(token !== null && { authorization: `Bearer ${token}` }) }
  const answer = await fetch(url, { headers })
  if (answer.ok)
    return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()).length, detail: '' }
  const { detail } = (await answer.json()) as { detail: string }
  return { status: answer.status, bytes: 0, detail }
}

async function open() {
  const opened = await fetches.open({ job: id, token: tokens.of(id), asker: 'uid-1' })
  if (opened.kind !== 'files') throw new Error(opened.kind)
  return opened
}

function stageIn(more: { limitMs?: number; isHttps?: boolean; authority?: string; from?: string } = {}) {
  const { limitMs = patienceMs, isHttps = false, authority, from = programs } = more
  const text = stageInText({ limitMs, fetch: { isHttps, hasAuthority: authority !== undefined } }, places)
  const child = spawn(find('busybox'), ['sh', '-c', text], {
    env: {
      PATH: from,
      MOLEHILL_FILES: address(),
      MOLEHILL_TOKEN: tokens.of(id),
      MOLEHILL_POD: 'uid-1',
      MOLEHILL_AUTHORITY: authority,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => resolve(code ?? signal))
  })
  return Promise.all([ended, readAll(child.stderr)]).then(([code, said]) => ({ code, said }))
}

const arrived = () =>
  execFileSync('sh', ['-c', 'cat "$1"/shared/*/content/large.bin | wc -c', 'sh', places.root], {
    encoding: 'utf8',
  })

test('a pod fetches its files as soon as the server has seen it', { timeout: patienceMs }, async () => {
  pods = []
  const ended = stageIn()
  await expect.poll(() => server.observed.length, { timeout: patienceMs, interval: 20 }).toBeGreaterThan(0)
  expect(server.observed[0]).toMatchObject({ status: 503, code: 'server-busy' })
  pods = [waiting()]
  expect(await ended).toEqual({ code: 0, said: '' })
  expect(Number(arrived())).toBe(5_000_000)
  expect(readFileSync(join(places.job, 'command'), 'utf8')).toContain("'true'")
  expect(existsSync(places.start)).toBe(true)
  expect(requests.servedPod(id)).toBe('uid-1')
  // What is logged of requests is not what opens anything.
  expect(JSON.stringify(server.observed)).not.toContain(tokens.of(id))
})

test('a pod outlasts a server that is started anew', { timeout: patienceMs }, async () => {
  const { port } = new URL(server.url)
  const before = tokens.of(id)
  stop.abort()
  await server[Symbol.asyncDispose]()
  const ended = stageIn()
  // Some tries find nobody.
  await new Promise((resolve) => setTimeout(resolve, 1000))
  server = await startJobFilesServer({ port: Number(port) })
  await openLife()
  expect(tokens.of(id)).toBe(before)
  expect(await ended).toEqual({ code: 0, said: '' })
  expect(Number(arrived())).toBe(5_000_000)
})

test('what is cut is fetched anew', { timeout: patienceMs }, async () => {
  const large = join(root, 'work/large.bin')
  const { content } = await open()
  // The directory has been read, and the file is another one now.
  writeFileSync(large, Buffer.alloc(6_000_000))
  await expect(readAll(content)).rejects.toThrow(/changed while it was being sent/)
  writeFileSync(large, Buffer.alloc(7_000_000))
  expect(await ask()).toMatchObject({ status: 200 })
  writeFileSync(large, Buffer.alloc(8_000_000))
  expect(await stageIn()).toEqual({ code: 0, said: '' })
  expect(Number(arrived())).toBe(8_000_000)
  expect(fetches.failureOf(id)).toBe(undefined)
})

test('pods come again while the object storage is away, and the log tells of it once', async () => {
  storage = { place: () => Promise.reject(new EnvironmentError('The object storage is away.')) }
  await openLife()
  for (let tries = 0; tries < 3; tries += 1)
    expect(await ask()).toMatchObject({ status: 503, detail: 'The files of the job cannot be had now.' })
  expect(warnings).toEqual(['Pods wait for their files: The object storage is away.'])
  storage = undefined
  await openLife()
  expect(await ask()).toMatchObject({ status: 200 })
})

test('files that cannot be read end the job', async () => {
  rmSync(join(root, 'work'), { recursive: true })
  expect(await ask()).toMatchObject({ status: 404, detail: 'The files of the job cannot be read.' })
  expect(fetches.failureOf(id)).toMatch(/^Its files cannot be read: .*ENOENT/)
})

test('a pod that gets no files says so in the end', { timeout: patienceMs }, async () => {
  await requests.serve(id, 'uid-of-another')
  const { code, said } = await stageIn({ limitMs: 1000 })
  expect(code).toBe(1)
  expect(said).toMatch(/^The files could not be fetched from http:.*job-1 in time: .*404/)
  expect(readFileSync(places.message, 'utf8')).toBe(said)
})

test('https goes by curl, which checks the certificate', { timeout: patienceMs }, async () => {
  const [key, cert] = ['key.pem', 'cert.pem'].map((file) => join(root, file)) as [string, string]
  const request =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=here'.split(' ')
  const files = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert]
  execFileSync('openssl', [...request, ...files], { stdio: 'ignore' })
  const tls = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
  const { desk } = server
  await server[Symbol.asyncDispose]()
  server = await startJobFilesServer({ tls, desk })
  const unknown = await stageIn({ isHttps: true, from: withCurl, limitMs: 1000 })
  expect(unknown).toMatchObject({ code: 1, said: expect.stringMatching(/certificate/i) })
  expect(server.observed).toEqual([])
  const none = await stageIn({ isHttps: true, limitMs: 1000 })
  expect(none).toEqual({ code: 1, said: 'The staging image holds no curl, which https:// needs.\n' })
  expect(await stageIn({ isHttps: true, from: withCurl, authority: tls.cert })).toEqual({ code: 0, said: '' })
  expect(Number(arrived())).toBe(5_000_000)
})

test('only the token of the job opens its files', async () => {
  const token = tokens.of(id)
  const refused = { status: 401, detail: 'Expected the token that the job was given for its files.' }
  const altered = [
    '',
    'x',
    'null',
    'é',
    `${token}x`,
    token.slice(1),
    token.toUpperCase(),
    `${token} ${token}`,
  ]
  const others = [tokens.of(toJobId('job-2')), 'A'.repeat(43), 'A'.repeat(4000)]
  for (const row of [...altered, ...others])
    expect([row, await ask(address(), encodeURIComponent(row))]).toMatchObject([row, refused])
  expect(await ask(address(), null)).toMatchObject(refused)
  expect(await ask(`${address()}?token=${token}`, null)).toMatchObject(refused)
  expect(await ask(address('job-2'))).toMatchObject(refused)
  for (const odd of ['..', '%2e%2e%2fjob-1', 'job-1%00', 'JOB 1', 'x'.repeat(500)])
    expect([odd, (await ask(address(odd))).status]).toEqual([odd, odd === '..' ? 404 : 401])
  expect(await ask(address(id, 'i2'))).toMatchObject({ status: 404 })
  const other = await openFetchTokens(mkdtempSync(join(root, 'other-')))
  expect(await ask(address(), other.of(id))).toMatchObject(refused)
  expect(await ask()).toMatchObject({ status: 200 })
})

test('a token is worth nothing without the pod, after the pod has its files, and after the job', async () => {
  const served = async () => {
    const { status, detail } = await ask()
    return `${status} ${detail}`
  }
  expect(await ask(address(), tokens.of(id), 'uid-of-another')).toMatchObject({ status: 503 })
  expect(await ask(address(), tokens.of(id), '')).toMatchObject({ status: 503 })
  for (const over of [
    pod({ uid: 'uid-1', stageIn: ends(0) }),
    pod({ uid: 'uid-1', stageIn: { running: {} }, deleted: true }),
    pod({ uid: 'uid-1', stageIn: { running: {} }, annotations: { 'molehill/cancelled': 'now' } }),
  ]) {
    pods = [over]
    expect(await served()).toBe('404 The pod needs no files any more.')
  }
  pods = [waiting(), pod({ uid: 'uid-2', stageIn: { running: {} } })]
  expect(await served()).toBe('200 ')
  expect(await ask(address(), tokens.of(id), 'uid-2')).toMatchObject({
    status: 404,
    detail: 'Another pod of the job has got its files.',
  })
  requests.forget([id])
  expect(await served()).toBe('404 The job has ended, or was never there.')
  stop.abort()
  expect(await served()).toBe('404 No environment gives files out at this address.')
})

test('what is on its way ends when nobody needs it', async () => {
  const { content } = await open()
  fetches.forget(id)
  await expect(readAll(content)).rejects.toThrow('Nobody needs the files of job-1 any more.')
})
