import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { problemSchema } from '../../src/api/problem-answer.ts'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { listData, password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip, type TarMember } from '../helpers/tar.ts'

const run = promisify(execFile)

const script = `
import { csv, display, explore, functionTask, integer, list } from 'molehill'
const x = integer('x')
const square = integer('square')
const model = functionTask('model', { inputs: [x], outputs: [square], run: ({ x }) => ({ square: x * x }) })
export default explore(list(x, [1, 2, 3]), model.hook(csv('result.csv'), display()))
`
const work = tarGzip([
  { name: 'Pi.ts', content: script },
  { name: 'data/', type: '5' },
  { name: 'data/numbers.txt', content: '1 2 3\n' },
])

let server: TestServer
let client: RestClient
let token: string
let directory: string

beforeAll(async () => {
  server = await startTestServer({ scriptTime: '8s', uploadLimit: '2MiB', unpackedLimit: '8MiB' })
  client = await createRestClient(server)
  token = await client.requestToken(password)
  directory = await mkdtemp(join(tmpdir(), 'molehill-curl-'))
  await writeFile(join(directory, 'pi.tgz'), work)
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

describe("OpenMOLE's own client", () => {
  test('starts a workflow, follows it to its end, reads its output and removes it', async () => {
    const before = await listData(server.dataDirectory)
    const id = await client.start(token, 'Pi.ts', work)
    const state = await client.awaitEnd(token, id)
    expect(state).toEqual({
      state: 'finished',
      ready: 0,
      running: 0,
      completed: 3,
      failed: 0,
      capsules: [{ model: { ready: 0, running: 0, completed: 3, failed: 0 } }],
      environments: [
        { name: 'local', submitted: 0, running: 0, done: 3, failed: 0, ready: 0, completed: 3, errors: [] },
      ],
    })
    const lines = (await client.output(token, id)).trim().split('\n')
    expect(lines.sort()).toEqual(['x = 1, square = 1', 'x = 2, square = 4', 'x = 3, square = 9'])
    await client.remove(token, id)
    expect(await client.post('/state', { token, id })).toMatchObject({
      status: 417,
      json: { message: 'Execution not found' },
    })
    expect(await listData(server.dataDirectory)).toEqual(before)
  })

  test('gets the answers that it knows for a password', async () => {
    const answer = await client.post('/token', { password })
    expect(answer).toMatchObject({ status: 202, json: { token: expect.any(String), duration: 86_400_000 } })
    expect(answer.headers['cache-control']).toBe('no-store')
    await expect(client.requestToken('wrong')).rejects.toThrow('403: Server password is incorrect')
    expect(await client.post('/token', {})).toMatchObject({
      status: 417,
      json: { message: 'No password sent with request' },
    })
  })

  test('sees why a workflow failed', async () => {
    const failing = script.replace('({ square: x * x })', '{ throw new Error(`no square of ${x}`) }')
    const id = await client.start(token, 'Pi.ts', tarGzip([{ name: 'Pi.ts', content: failing }]))
    const state = await client.awaitEnd(token, id)
    expect(state).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('no square of') },
    })
    expect(JSON.stringify(state)).not.toContain(server.dataDirectory)
    await client.remove(token, id)
  })
})

describe('curl', () => {
  let id: string

  async function curl(...words: string[]): Promise<{ status: number; body: string }> {
    const { stdout } = await run('curl', ['-k', '-sS', '-w', '\n%{http_code}', '-X', 'POST', ...words])
    const end = stdout.lastIndexOf('\n')
    return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) }
  }
  const url = (path: string) => server.url.replace('127.0.0.1', 'localhost') + path
  const withToken = () => ['--data-urlencode', `token=${token}`]
  const archive = () => `workDirectory=@${join(directory, 'pi.tgz')}`

  beforeAll(async () => {
    id = await client.start(token, 'Pi.ts', work)
    await client.awaitEnd(token, id)
  })

  test('gets a token', async () => {
    const { status, body } = await curl('--data-urlencode', `password=${password}`, url('/token'))
    expect([status, JSON.parse(body).duration]).toEqual([202, 86_400_000])
  })

  test.each([
    ['all as a form', () => ['-F', `token=${token}`, '-F', 'script=Pi.ts', '-F', archive(), url('/start')]],
    ['text in the query', () => [url(`/start?token=${token}&script=Pi.ts`), '-F', archive()]],
    ['the script last', () => ['-F', `token=${token}`, '-F', archive(), '-F', 'script=Pi.ts', url('/start')]],
    [
      'a bearer token',
      () => ['-H', `Authorization: Bearer ${token}`, '-F', archive(), '-F', 'script=Pi.ts', url('/start')],
    ],
  ])('starts a workflow with %s', async (_, words) => {
    const { status, body } = await curl(...words())
    expect([status, body]).toEqual([200, expect.stringMatching(/^\{"id":"[\w-]+"\}$/)])
    expect(await curl(...withToken(), '-d', `id=${JSON.parse(body).id}`, url('/cancel'))).toEqual({
      status: 200,
      body: '',
    })
    expect(await curl(...withToken(), '-d', `id=${JSON.parse(body).id}`, url('/remove'))).toEqual({
      status: 200,
      body: '',
    })
  })

  test('asks for state, output and list', async () => {
    expect(JSON.parse((await curl(...withToken(), '-d', `id=${id}`, url('/state'))).body).state).toBe(
      'finished',
    )
    expect(JSON.parse((await curl(...withToken(), '-d', `id=${id}`, url('/output'))).body).output).toContain(
      'square = 9',
    )
    expect(JSON.parse((await curl(...withToken(), url('/list'))).body)).toContainEqual(
      expect.objectContaining({ id, name: 'Pi' }),
    )
    expect(JSON.parse((await curl('-F', `token=${token}`, '-F', `id=${id}`, url('/state'))).body).state).toBe(
      'finished',
    )
  })

  test('fetches a file, plain, packed on its way, and as gzip bytes', async () => {
    const ask = [...withToken(), '-d', `id=${id}`, '-d', 'path=data/numbers.txt', url('/download')]
    expect(await curl(...ask)).toEqual({ status: 200, body: '1 2 3\n' })
    expect(await curl('--compressed', ...ask)).toEqual({ status: 200, body: '1 2 3\n' })
    const target = join(directory, 'numbers.gz')
    await curl('-o', target, '-d', 'gzip=true', ...ask)
    expect((await run('gunzip', ['-c', target])).stdout).toBe('1 2 3\n')
    expect(await curl('-H', 'Range: bytes=4-', ...ask)).toEqual({ status: 206, body: '3\n' })
  })

  test('fetches the whole directory', async () => {
    const target = join(directory, 'all.tgz')
    const { status } = await curl('-o', target, ...withToken(), '-d', `id=${id}`, url('/download'))
    expect(status).toBe(200)
    const { stdout } = await run('tar', ['-tzf', target])
    expect(stdout.trim().split('\n')).toEqual(['Pi.ts', 'data/', 'data/numbers.txt', 'result.csv'])
  })

  test('sends much that is not wanted and is told so', async () => {
    const large = join(directory, 'large.tgz')
    await writeFile(large, Buffer.alloc(40 * 2 ** 20))
    const { status, body } = await curl(
      '-F',
      `token=${token}`,
      '-F',
      `workDirectory=@${large}`,
      url('/start'),
    )
    expect([status, JSON.parse(body).code]).toEqual([413, 'body-too-large'])
    const chunked = await curl(
      '-H',
      'Transfer-Encoding: chunked',
      '-F',
      `token=${token}`,
      '-F',
      `workDirectory=@${large}`,
      url('/start'),
    )
    expect([chunked.status, JSON.parse(chunked.body).code]).toEqual([417, 'archive-invalid'])
  })
})

describe('bad input is answered with the right status and one clear sentence, and leaves nothing', () => {
  const withPi = (...members: TarMember[]) => tarGzip([{ name: 'Pi.ts', content: script }, ...members])
  const only = (content: string) => tarGzip([{ name: 'Pi.ts', content }])

  test.each<[string, Buffer, number, RegExp]>([
    ['no gzip', Buffer.from('just text'), 417, /gzip/],
    ['a gzip that was cut', work.subarray(0, work.length / 2), 417, /./],
    ['a gzip of something else', gzipSync('x'.repeat(5000)), 417, /./],
    ['nothing', Buffer.alloc(0), 417, /./],
    ['an entry that leaves by ..', withPi({ name: '../evil', content: 'x' }), 417, /evil/],
    ['an entry that leaves further in', withPi({ name: 'a/../../evil', content: 'x' }), 417, /evil/],
    ['an absolute entry', withPi({ name: '/tmp/evil', content: 'x' }), 417, /evil/],
    ['a link that leads out', withPi({ name: 'evil', type: '2', target: '/etc/passwd' }), 417, /evil/],
    ['a hard link', withPi({ name: 'evil', type: '1', target: 'Pi.ts' }), 417, /evil/],
    ['a device', withPi({ name: 'evil', type: '3' }), 417, /evil/],
    ['a named pipe', withPi({ name: 'evil', type: '6' }), 417, /evil/],
    ['too much when unpacked', withPi({ name: 'big', content: Buffer.alloc(16 * 2 ** 20) }), 413, /./],
  ])('an archive: %s', async (_, archive, status, sentence) => {
    await expectRefusal('/start', { token, script: 'Pi.ts' }, archive, status, sentence)
  })

  test.each<[string, string, Buffer, RegExp]>([
    ['that does not exist', 'Other.ts', work, /doesn't exist in the workDirectory.*Pi\.ts, data/],
    ['that is a directory', 'data', work, /doesn't exist/],
    ['that leaves', '../Pi.ts', work, /doesn't exist/],
    ['that is absolute', '/etc/passwd', work, /doesn't exist/],
    ['without a name', '', work, /doesn't exist/],
    ['that cannot be parsed', 'Pi.ts', only('const x = ;'), /^Pi\.ts:1:\d+: SyntaxError/],
    ['that throws', 'Pi.ts', only('\nthrow new Error("boom")'), /^Pi\.ts:2:\d+: Error: boom/],
    ['that never returns', 'Pi.ts', only('while (true);'), /within 8000 ms/],
    ['that exports nothing', 'Pi.ts', only('export const a = 1'), /expected a workflow/],
    ['that exports a number', 'Pi.ts', only('export default 5'), /expected a workflow/],
    ['that exits', 'Pi.ts', only('process.exit(0)'), /./],
    ['that imports what is not there', 'Pi.ts', only('import "nowhere"'), /nowhere/],
  ])('a script %s', async (_, name, archive, sentence) => {
    for (const path of ['/start', '/validate'])
      await expectRefusal(path, { token, script: name }, archive, 417, sentence)
  })

  test('a workflow with several faults, all of which are told', async () => {
    const faulty = script.replace('inputs: [x]', "inputs: [x, integer('y'), integer('z')]")
    const answer = await client.post('/validate', { token, script: 'Pi.ts' }, only(faulty))
    expect(answer).toMatchObject({
      status: 417,
      json: {
        code: 'workflow-invalid',
        errors: [expect.stringMatching(/^Pi\.ts:5:.* y /), expect.stringMatching(/^Pi\.ts:5:.* z /)],
      },
    })
  })

  test('parameters that are missing', async () => {
    await expectRefusal(
      '/start',
      { token, script: 'Pi.ts' },
      undefined,
      417,
      /^Missing mandatory workDirectory parameter\.$/,
    )
    await expectRefusal('/start', { token }, work, 417, /^Missing mandatory script parameter\.$/)
    for (const path of ['/state', '/output', '/download', '/files', '/jobs', '/cancel', '/remove'])
      await expectRefusal(path, { token }, undefined, 417, /^id is missing$/)
  })

  test('tokens that are missing, wrong, altered or signed by somebody else', async () => {
    const [header, claims, signature] = token.split('.')
    const forged = Buffer.from(JSON.stringify({ alg: 'none', typ: 'molehill-token+jwt' })).toString(
      'base64url',
    )
    const altered = `${header}.${claims}.${signature?.startsWith('A') ? 'B' : 'A'}${signature?.slice(1)}`
    for (const wrong of ['', 'x', altered, `${forged}.${claims}.`, `${token} `, 'x'.repeat(9000)])
      for (const path of ['/list', '/state', '/download'])
        await expectRefusal(path, { token: wrong }, undefined, 401, /^This service requires a valid token$/)
    await expectRefusal(
      '/start',
      { token: altered, script: 'Pi.ts' },
      work,
      401,
      /^This service requires a valid token$/,
    )
    await expectRefusal('/start', { script: 'Pi.ts' }, work, 401, /^This service requires a valid token$/)
  })

  test('executions that are not there', async () => {
    for (const id of ['nobody', '..', '../../', '00000000-0000-4000-8000-000000000000'])
      for (const path of ['/state', '/output', '/download', '/files', '/jobs', '/cancel', '/remove'])
        await expectRefusal(path, { token, id }, undefined, 417, /^Execution not found$/)
  })

  test('paths that are not there, leave, or lead out by a link of a job', async () => {
    const id = await client.start(token, 'Pi.ts', work)
    await client.awaitEnd(token, id)
    const workDirectory = join(server.dataDirectory, 'executions', id, 'work')
    await symlink('/etc/passwd', join(workDirectory, 'out'))
    await symlink('..', join(workDirectory, 'up'))
    for (const path of [
      'nothing',
      'data/nothing',
      '../journal.db',
      'data/../../journal.db',
      '/etc/passwd',
      'out',
      'up/journal.db',
    ])
      await expectRefusal('/download', { token, id, path }, undefined, 404, /^File not found$/)
    await client.remove(token, id)
  })

  test('routes and methods that are not served', async () => {
    await expectRefusal('/nowhere', { token }, undefined, 404, /^There is no route "\/nowhere"\.$/)
    const { stdout } = await run('curl', ['-k', '-sS', '-i', '-X', 'PUT', `${server.url}/state`])
    expect(stdout).toMatch(/^HTTP\/1\.1 405 /)
    expect(stdout).toMatch(/^allow: POST\r$/im)
  })

  async function expectRefusal(
    path: string,
    parameters: Record<string, string>,
    archive: Buffer | undefined,
    status: number,
    sentence: RegExp,
  ): Promise<void> {
    const before = await listData(server.dataDirectory)
    const answer = await client.post(path, parameters, archive)
    const problem = problemSchema.strict().parse(answer.json)
    expect([answer.status, problem.status]).toEqual([status, status])
    expect(problem.message).toMatch(sentence)
    expect(answer.text).not.toContain(server.dataDirectory)
    expect(await listData(server.dataDirectory)).toEqual(before)
  }
})

test('a token ends with its time', async () => {
  await using brief = await startTestServer({ tokenLifetime: '1s', http: true })
  const post = (path: string, parameters: Record<string, string>) =>
    fetch(brief.url + path, { method: 'POST', body: new URLSearchParams(parameters) })
  const answer: unknown = await (await post('/token', { password })).json()
  const { token } = Object(answer)
  expect((await post('/list', { token })).status).toBe(200)
  await expect.poll(async () => (await post('/list', { token })).status, { timeout: 5000 }).toBe(401)
})

test('the log has a line for each request, and no secret', () => {
  const text = server.logged.join('')
  expect(text).toContain('"route":"/token"')
  expect(text).toContain('"route":"/start"')
  expect(text).not.toContain(token)
  expect(text).not.toContain(password)
  expect(server.logged.filter((line) => line.includes('"level":"error"'))).toEqual([])
})
