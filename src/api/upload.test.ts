import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { serveTestApi } from '../../test/helpers/api-server.ts'
import { tarGzip } from '../../test/helpers/tar.ts'
import { incompressible } from '../../test/helpers/incompressible.ts'

type Server = Awaited<ReturnType<typeof serveTestApi>>

const script = { name: 'flow.ts', content: 'export default 1' }
let server: Server

beforeEach(async () => {
  server = await serveTestApi({ limits: { uploadBytes: 4 * 2 ** 20, textBytes: 4096, idleMs: 2000 } })
})

afterEach(() => server[Symbol.asyncDispose]())

interface Part {
  readonly name: string
  readonly content: string | Buffer
  readonly fileName?: string
}

const boundary = 'edge'

function multipart(parts: readonly Part[]): Buffer {
  return Buffer.concat([
    ...parts.map(({ name, content, fileName }) => {
      const file = fileName === undefined ? '' : `; filename="${fileName}"`
      const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`
      return Buffer.concat([Buffer.from(head), Buffer.from(content), Buffer.from('\r\n')])
    }),
    Buffer.from(`--${boundary}--\r\n`),
  ])
}

async function post(path: string, body: Buffer | string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${server.url}${path}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : new Uint8Array(body),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}`, ...headers },
  })
  return { status: answer.status, body: JSON.parse((await answer.text()) || 'null') }
}

const work = { name: 'workDirectory', fileName: 'work.tgz' } as const
const token = { name: 'token', content: 'good' }
const scriptField = { name: 'script', content: 'flow.ts' }

/** Nothing may be left of an upload that was refused. */
async function leftovers(): Promise<string[]> {
  const uploads = await readdir(join(server.directory, 'uploads'))
  const executions = await readdir(join(server.directory, 'executions')).catch(() => [])
  return [...uploads, ...executions.slice(server.executions.all.size)]
}

describe('a work directory', () => {
  const archive = tarGzip([script, { name: 'data/numbers.csv', content: '1,2' }])

  test.each([
    ['fields first', [token, scriptField, { ...work, content: archive }], ''],
    ['token first, script last', [token, { ...work, content: archive }, scriptField], ''],
    ['token in the query, script last', [{ ...work, content: archive }, scriptField], '?token=good'],
    ['all in the query', [{ ...work, content: archive }], '?token=good&script=flow.ts'],
  ])('is taken with %s', async (_, parts, query) => {
    expect(await post(`/start${query}`, multipart(parts))).toEqual({ status: 200, body: { id: 'id-1' } })
    const { workDirectory } = server.executions.all.get('id-1') ?? { workDirectory: '' }
    expect(await readFile(join(workDirectory, 'data/numbers.csv'), 'utf8')).toBe('1,2')
    expect(await leftovers()).toEqual([])
  })

  test('is taken with a bearer token', async () => {
    const answer = await post('/start', multipart([{ ...work, content: archive }, scriptField]), {
      authorization: 'Bearer good',
    })
    expect(answer.status).toBe(200)
  })

  test('is refused before it is read when the token comes after it', async () => {
    const answer = await post('/start', multipart([{ ...work, content: archive }, token, scriptField]))
    expect(answer).toMatchObject({
      status: 401,
      body: {
        message: 'This service requires a valid token',
        hint: expect.stringContaining('before the file'),
      },
    })
    expect(await leftovers()).toEqual([])
  })

  test('that is missing, and a script that is missing, are told in this order', async () => {
    expect(await post('/start', multipart([token]))).toMatchObject({
      status: 417,
      body: { code: 'archive-missing', message: 'Missing mandatory workDirectory parameter.' },
    })
    expect(await post('/start', multipart([token, { ...work, content: archive }]))).toMatchObject({
      status: 417,
      body: { code: 'parameter-missing', message: 'Missing mandatory script parameter.' },
    })
    expect(await leftovers()).toEqual([])
  })

  test('that came as text is told how to send it', async () => {
    const answer = await post(
      '/start',
      multipart([token, scriptField, { name: 'workDirectory', content: 'work.tgz' }]),
    )
    expect(answer).toMatchObject({ status: 417, body: { hint: expect.stringContaining('with the @') } })
  })

  test.each([
    ['no script of that name', [script], 'other.ts', 417, 'script-missing'],
    [
      'a script without a workflow',
      [{ name: 'flow.ts', content: 'nothing' }],
      'flow.ts',
      417,
      'script-invalid',
    ],
    ['an entry that leaves', [script, { name: '../evil', content: 'x' }], 'flow.ts', 417, 'archive-unsafe'],
  ])('with %s leaves nothing behind', async (_, members, script, status, code) => {
    const content = tarGzip(members)
    const answer = await post(
      '/start',
      multipart([token, { name: 'script', content: script }, { ...work, content }]),
    )
    expect(answer).toMatchObject({ status, body: { code } })
    expect(await leftovers()).toEqual([])
  })

  test('whose script throws is answered with the stack of the script', async () => {
    const content = tarGzip([{ name: 'flow.ts', content: 'nothing' }])
    const { body } = await post('/start', multipart([token, scriptField, { ...work, content }]))
    expect(body.stackTrace).toBe('Error: boom\n    at flow.ts:3:7')
  })

  test('that is no archive leaves nothing behind', async () => {
    const whole = tarGzip([script])
    for (const content of ['no gzip', whole.subarray(0, 40), '']) {
      const answer = await post('/start', multipart([token, scriptField, { ...work, content }]))
      expect(answer).toMatchObject({ status: 417, body: { code: 'archive-invalid' } })
    }
    expect(await leftovers()).toEqual([])
  })

  test('is only looked at by /validate', async () => {
    const answer = await post('/validate', multipart([token, scriptField, { ...work, content: archive }]))
    expect(answer).toMatchObject({
      status: 200,
      body: {
        script: 'flow.ts',
        capsules: ['model'],
        steps: [
          {
            kind: 'capsule',
            name: 'model',
            task: 'function',
            inputs: [{ name: 'x', type: 'number' }],
            outputs: [{ name: 'y', type: 'file[][]' }],
            environment: 'local',
            location: { file: 'flow.ts', line: 3, column: 1 },
          },
        ],
        environments: [{ name: 'local', kind: 'local' }],
      },
    })
    expect(server.executions.all.size).toBe(0)
    expect(await leftovers()).toEqual([])
  })

  test('of some megabytes in awkward pieces comes through byte by byte', async () => {
    const content = incompressible(3 * 2 ** 20)
    const body = multipart([
      token,
      scriptField,
      { ...work, content: tarGzip([script, { name: 'r', content }]) },
    ])
    const socket = await openRequest(body.length)
    for (let at = 0; at < body.length; at += 65_521)
      if (!socket.write(body.subarray(at, at + 65_521))) await once(socket, 'drain')
    expect(await readStatus(socket)).toBe(200)
    const { workDirectory } = server.executions.all.get('id-1') ?? { workDirectory: '' }
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    expect(hash(await readFile(join(workDirectory, 'r')))).toBe(hash(content))
  })
})

describe('an upload that is too large', () => {
  test('is refused by its announced length before it is sent', async () => {
    const socket = await openRequest(100 * 2 ** 20)
    expect(await readStatus(socket)).toBe(413)
  })

  test('is refused on the way when no length was announced, and the answer arrives', async () => {
    const socket = await openRequest(undefined)
    const archive = tarGzip([{ name: 'r', content: incompressible(8 * 2 ** 20) }])
    const body = multipart([token, scriptField, { ...work, content: archive }])
    const status = readStatus(socket, false)
    for (let at = 0; at < body.length && socket.writable; at += 65_536) {
      writeChunk(socket, body.subarray(at, at + 65_536))
      if (socket.writableNeedDrain) await Promise.race([once(socket, 'drain'), once(socket, 'close')])
    }
    expect(await status).toBe(413)
    socket.destroy()
    expect(await leftovers()).toEqual([])
  })
})

describe('a client', () => {
  test('that sends everything before it listens gets its answer, and the connection is closed', async () => {
    const body = multipart([
      token,
      scriptField,
      { ...work, content: Buffer.concat([Buffer.from('no gzip'), Buffer.alloc(4_000_000)]) },
    ])
    const socket = await openRequest(body.length)
    socket.pause()
    for (let at = 0; at < body.length; at += 65_536)
      if (!socket.write(body.subarray(at, at + 65_536))) await once(socket, 'drain')
    const answer: string[] = []
    socket.on('data', (chunk) => answer.push(String(chunk)))
    socket.resume()
    await once(socket, 'end')
    expect(answer.join('')).toMatch(/^HTTP\/1\.1 417 [^]*connection: close\r\n[^]*"code":"archive-invalid"/i)
    socket.destroy()
  })

  test('that goes away in the midst of an upload leaves nothing', async () => {
    const body = multipart([
      token,
      scriptField,
      { ...work, content: tarGzip([script, { name: 'r', content: incompressible(2 ** 20) }]) },
    ])
    const socket = await openRequest(body.length)
    socket.write(body.subarray(0, 500_000))
    await expect.poll(() => leftovers(), { message: 'the upload has not begun' }).toHaveLength(1)
    socket.destroy()
    await expect
      .poll(() => leftovers(), { message: 'the upload was not cleaned up', timeout: 5000 })
      .toEqual([])
    await expect.poll(() => server.observed.length, { message: 'no log line' }).toBe(1)
    expect(server.observed[0]).toMatchObject({ isBroken: true, route: '/start' })
  })

  test('that stops sending is told so', async () => {
    const socket = await openRequest(1000)
    socket.write('--edge\r\nContent-Disp')
    expect(await readStatus(socket)).toBe(400)
  })

  test('that asks before it sends is refused without sending', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.write(
      `POST /start HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n`,
    )
    expect(await readStatus(socket)).toBe(400)
    const eager = connect(Number(new URL(server.url).port), '127.0.0.1')
    eager.write(
      `POST /list HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n` +
        `Content-Type: application/x-www-form-urlencoded\r\n\r\n`,
    )
    expect(await readStatus(eager, false)).toBe(100)
    eager.write('token=good')
    expect(await readStatus(eager)).toBe(200)
  })
})

describe('a body that cannot be read', () => {
  const good = multipart([token, scriptField])

  test.each<[string, string | Buffer, Record<string, string>, number, string]>([
    ['without its end', good.subarray(0, -10), {}, 400, 'body-invalid'],
    ['without a boundary', good, { 'content-type': 'multipart/form-data' }, 400, 'body-invalid'],
    [
      'with an endless boundary',
      good,
      { 'content-type': `multipart/form-data; boundary=${'x'.repeat(8000)}` },
      400,
      'body-invalid',
    ],
    ['of another kind', '{"token":"good"}', { 'content-type': 'application/json' }, 400, 'body-invalid'],
    ['that is packed', good, { 'content-encoding': 'gzip' }, 400, 'body-invalid'],
    [
      'with two files',
      multipart([token, { ...work, content: tarGzip([script]) }, { ...work, content: tarGzip([script]) }]),
      {},
      400,
      'body-invalid',
    ],
    [
      'with a file of another name',
      multipart([token, { ...work, name: 'directory', content: 'x' }]),
      {},
      400,
      'body-invalid',
    ],
    [
      'with a script as a file',
      multipart([token, { name: 'script', fileName: 'flow.ts', content: 'x' }]),
      {},
      400,
      'parameter-invalid',
    ],
    [
      'with a text that is too long',
      multipart([token, { name: 'script', content: 'x'.repeat(5000) }]),
      {},
      413,
      'body-too-large',
    ],
    [
      'with too many fields',
      multipart(Array.from({ length: 50 }, (_, n) => ({ name: `n${n}`, content: '' }))),
      {},
      400,
      'body-invalid',
    ],
    [
      'with a field that comes twice',
      multipart([token, { name: 'script', content: 'a' }, scriptField]),
      {},
      400,
      'parameter-invalid',
    ],
    [
      'with header lines without sense',
      '--edge\r\n\0\0: x\r\nnonsense\r\n\r\nx\r\n--edge--\r\n',
      {},
      401,
      'token-invalid',
    ],
    [
      'with a field called __proto__',
      multipart([{ name: '__proto__', content: 'polluted' }]),
      {},
      401,
      'token-invalid',
    ],
  ])('%s is answered, and the server goes on', async (_, body, headers, status, code) => {
    expect(await post('/start', body, headers)).toMatchObject({ status, body: { code } })
    expect('polluted' in {}).toBe(false)
    expect(await leftovers()).toEqual([])
    expect((await post('/list', multipart([token]))).status).toBe(200)
    expect(server.reported).toEqual([])
  })

  test('an urlencoded body gets no more room where files may come', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const { status } = await post('/start', `workflow=${'x'.repeat(100_000)}`, headers)
    expect(status).toBe(413)
  })

  test('an urlencoded body that is too large is refused', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(await post('/list', `token=good&x=${'y'.repeat(5000)}`, headers)).toMatchObject({ status: 413 })
  })
})

async function openRequest(length: number | undefined): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const size = length === undefined ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
  socket.write(
    `POST /start HTTP/1.1\r\nHost: x\r\n${size}\r\nContent-Type: multipart/form-data; boundary=${boundary}\r\n\r\n`,
  )
  return socket
}

function writeChunk(socket: Socket, data: Buffer): void {
  socket.write(`${data.length.toString(16)}\r\n`)
  socket.write(data)
  socket.write('\r\n')
}

/** The status of the answer that comes. */
async function readStatus(socket: Socket, end = true): Promise<number> {
  const [answer] = await once(socket, 'data')
  if (end) socket.destroy()
  return Number(/^HTTP\/1.1 (\d+)/.exec(String(answer))?.[1])
}
