import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, readdir, readlink, symlink, truncate, writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { serveTestApi, type TestApiOptions } from '../../../test/helpers/api-server.ts'
import { incompressible } from '../../../test/helpers/incompressible.ts'

type Server = Awaited<ReturnType<typeof serveTestApi>>

let server: Server
let work: string
const csv = 'a,b\n1,2\n'

beforeEach(() => open())
afterEach(() => server[Symbol.asyncDispose]())

async function open(options: TestApiOptions = {}): Promise<void> {
  server = await serveTestApi(options)
  work = join(server.directory, 'work')
  await mkdir(join(work, 'results'), { recursive: true })
  await writeFile(join(work, 'result.csv'), csv)
  await writeFile(join(work, 'results', 'empty'), '')
  await writeFile(join(server.directory, 'secret'), 'secret')
  const state = {
    id: 'id-1',
    owner: '',
    labels: {},
    name: '',
    script: '',
    state: 'finished',
    isCancelled: false,
  } as const
  const counts = { ready: 0, running: 0, completed: 0, failed: 0 }
  server.executions.all.set('id-1', {
    state: { ...state, startedAt: 0, endedAt: 0, counts, capsules: [], environments: [] },
    output: '',
    jobs: [],
    workDirectory: work,
  })
}

/** What comes over the wire, nothing unpacked on the way. */
async function download(parameters: Record<string, string>, headers: Record<string, string> = {}) {
  const answer = await openDownload(parameters, headers)
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk)
  return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }
}

async function openDownload(
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
  path = '/download',
): Promise<IncomingMessage> {
  const query = new URLSearchParams({ token: 'good', id: 'id-1', ...parameters })
  const asked = request(`${server.url}${path}?${query.toString()}`, { method: 'POST', headers, agent: false })
  asked.end()
  const [answer] = await once(asked, 'response')
  return answer
}

describe('a file', () => {
  test('comes as it is, with its length and name', async () => {
    const { status, headers, body } = await download({ path: 'result.csv' })
    expect([status, body.toString()]).toEqual([200, csv])
    expect(headers).toMatchObject({
      'content-length': '8',
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment; filename="result.csv"',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      vary: 'accept-encoding',
    })
    expect(headers['content-encoding']).toBeUndefined()
  })

  test('travels compressed for clients that ask for that', async () => {
    const { headers, body } = await download(
      { path: 'result.csv' },
      { 'accept-encoding': 'deflate, gzip;q=0.5' },
    )
    expect(headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' })
    expect(gunzipSync(body).toString()).toBe(csv)
    const plain = await download({ path: 'result.csv' }, { 'accept-encoding': 'br, gzip;q=0, *' })
    expect(plain.body.toString()).toBe(csv)
  })

  test('comes as gzip bytes with gzip=true, whatever the client accepts', async () => {
    for (const accepted of ['identity', 'gzip']) {
      const { headers, body } = await download(
        { path: 'result.csv', gzip: 'true' },
        { 'accept-encoding': accepted },
      )
      expect(headers['content-encoding']).toBeUndefined()
      expect(headers['content-disposition']).toBe('attachment; filename="result.csv.gz"')
      expect(gunzipSync(body).toString()).toBe(csv)
    }
    expect((await download({ path: 'result.csv', gzip: 'perhaps' })).status).toBe(400)
  })

  test('comes as gzip bytes by default where the server is told so', async () => {
    await server[Symbol.asyncDispose]()
    await open({ gzipByDefault: true })
    expect(gunzipSync((await download({ path: 'result.csv' })).body).toString()).toBe(csv)
    expect((await download({ path: 'result.csv', gzip: 'false' })).body.toString()).toBe(csv)
  })

  test('comes in part when a range is asked for', async () => {
    const part = await download({ path: 'result.csv' }, { range: 'bytes=-4', 'accept-encoding': 'gzip' })
    expect([part.status, part.body.toString()]).toEqual([206, '1,2\n'])
    expect(part.headers).toMatchObject({ 'content-range': 'bytes 4-7/8', 'content-length': '4' })
    const etag = String(part.headers.etag)
    expect(
      (await download({ path: 'result.csv' }, { range: 'bytes=0-0', 'if-range': etag })).body.toString(),
    ).toBe('a')
    await appendFile(join(work, 'result.csv'), '3,4\n')
    expect((await download({ path: 'result.csv' }, { range: 'bytes=0-0', 'if-range': etag })).status).toBe(
      200,
    )
    const outside = await download({ path: 'result.csv' }, { range: 'bytes=12-' })
    expect([outside.status, outside.headers['content-range']]).toEqual([416, 'bytes */12'])
    expect(JSON.parse(outside.body.toString())).toMatchObject({ code: 'range-invalid' })
  })

  test('may be empty', async () => {
    const { status, headers, body } = await download({ path: 'results/empty' }, { 'accept-encoding': 'gzip' })
    expect([status, headers['content-length'], body.length]).toEqual([200, '0', 0])
    expect(gunzipSync((await download({ path: 'results/empty', gzip: 'true' })).body)).toHaveLength(0)
  })

  test('that shrinks while it is sent breaks the connection', async () => {
    await writeFile(join(work, 'big'), incompressible(32 * 2 ** 20))
    const answer = await openDownload({ path: 'big' })
    await truncate(join(work, 'big'), 1000)
    await expect(drain(answer)).rejects.toThrow('aborted')
    await expect.poll(() => server.observed.at(-1)).toMatchObject({ isBroken: true, status: 200 })
    expect(server.reported).toHaveLength(1)
  })

  test('that is not fetched to its end is closed', async () => {
    await writeFile(join(work, 'big'), incompressible(32 * 2 ** 20))
    for (const gzip of ['true', 'false']) {
      const answer = await openDownload({ path: 'big', gzip })
      answer.destroy()
    }
    await expect
      .poll(openFiles, { message: 'the file is still open', timeout: 5000 })
      .not.toContain(join(work, 'big'))
    expect(server.reported).toEqual([])
  })
})

describe('a directory', () => {
  test.each([[''], ['results'], ['./results/']])('%j comes as tar.gz', async (path) => {
    await writeFile(join(work, 'results', 'one'), '1')
    const { headers, body } = await download({ path }, { 'accept-encoding': 'gzip', range: 'bytes=0-1' })
    expect(headers).toMatchObject({
      'content-disposition': 'attachment; filename="archive.tgz"',
      'content-type': 'application/octet-stream',
    })
    expect(headers['content-encoding']).toBeUndefined()
    await writeFile(join(server.directory, 'archive.tgz'), body)
    const { stdout } = await promisify(execFile)('tar', ['-tzf', join(server.directory, 'archive.tgz')])
    const names = stdout.trim().split('\n')
    expect(names).toEqual(
      path === '' ? ['result.csv', 'results/', 'results/empty', 'results/one'] : ['empty', 'one'],
    )
  })

  test('is listed', async () => {
    await symlink('/etc/passwd', join(work, 'link'))
    const answer = await openDownload({}, {}, '/files')
    const entries = JSON.parse(await drain(answer))
    expect(entries).toEqual([
      { name: 'link', type: 'link', size: 11, mtime: expect.any(Number) },
      { name: 'result.csv', type: 'file', size: 8, mtime: expect.any(Number) },
      { name: 'results', type: 'directory', size: expect.any(Number), mtime: expect.any(Number) },
    ])
    expect(Math.abs(entries[1].mtime - Date.now())).toBeLessThan(60_000)
    const inner = await openDownload({ path: 'results' }, {}, '/files')
    expect(JSON.parse(await drain(inner))).toMatchObject([{ name: 'empty' }])
    expect((await openDownload({ path: 'result.csv' }, {}, '/files')).statusCode).toBe(404)
  })
})

describe('a path', () => {
  test.each([
    'nothing.csv',
    'result.csv/x',
    '../secret',
    'results/../../secret',
    '%2e%2e/secret',
    '..\\secret',
    '/etc/passwd',
    'C:\\secret',
    'a\0b',
    'x'.repeat(5000),
    'link',
    'linked/secret',
    'pipe',
  ])('%j is not found, and nothing is read', async (path) => {
    await symlink(join(server.directory, 'secret'), join(work, 'link'))
    await symlink(server.directory, join(work, 'linked'))
    await promisify(execFile)('mkfifo', [join(work, 'pipe')])
    for (const route of ['/download', '/files']) {
      const answer = await openDownload({ path }, {}, route)
      expect(answer.statusCode).toBe(404)
      const text = await drain(answer)
      expect(JSON.parse(text)).toMatchObject({ message: 'File not found' })
      expect(text).not.toContain(server.directory)
    }
  })
})

async function drain(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  return text
}

/** What this process has open. */
async function openFiles(): Promise<string[]> {
  const handles = await readdir('/proc/self/fd')
  return Promise.all(handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => '')))
}
