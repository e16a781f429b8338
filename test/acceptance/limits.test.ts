import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startServer } from '../../src/main.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { verifyAudit } from '../../src/store/verify-audit.ts'
import { until } from '../conformance/until.ts'
import { createRestClient } from '../helpers/rest-client.ts'
import { listData, password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const silent = createLog({ level: 'silent', format: 'json', isTerminal: false, now: Date.now })
let server: TestServer | undefined

afterEach(async () => {
  await server?.[Symbol.asyncDispose]()
  server = undefined
})

async function start(flags: Readonly<Record<string, unknown>>) {
  server = await startTestServer(flags)
  const { url, dataDirectory, configuration } = server
  return { url, dataDirectory, configuration, client: await createRestClient({ url, dataDirectory }) }
}

const workflow = `
  import { functionTask, integer } from 'molehill'
  const y = integer('y')
  export default functionTask('one', { outputs: [y], run: () => ({ y: 1 }) })
`
const archive = () => tarGzip([{ name: 'flow.ts', content: workflow }])

test('below the disk reserve nothing new is taken, and nothing is left of what was sent', async () => {
  const { client, dataDirectory } = await start({ diskReserve: '1024TiB' })
  const token = await client.requestToken(password)
  const refused = await client.post('/start', { token, script: 'flow.ts' }, archive())
  expect(refused.status).toBe(507)
  expect(refused.json).toMatchObject({
    code: 'disk-full',
    detail: expect.stringMatching(/MiB free .* found/),
  })
  expect(await listData(dataDirectory)).toEqual([])
  const ready = await client.get('/readyz')
  expect(ready.status).toBe(507)
  expect((await client.post('/list', { token })).status).toBe(200)
})

test('who asks too often is told when to come back', async () => {
  const { client } = await start({ requestRate: '1', requestBurst: '5' })
  const token = await client.requestToken(password)
  const answers = await Promise.all(Array.from({ length: 10 }, () => client.post('/list', { token })))
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThan(3)
  expect(Number(refused[0]?.headers['retry-after'])).toBeGreaterThan(0)
  const metrics = await client.get('/metrics')
  expect(metrics.text).toMatch(/molehill_requests_refused_total\{code="requests-throttled"\} \d/)
  expect(metrics.text).toMatch(/molehill_queue_length 0/)
  expect(metrics.text).toMatch(/molehill_uploads 0/)
  expect(metrics.text).toMatch(/molehill_disk_free_bytes \d/)
})

test('executions go when they were kept long enough, and left-over uploads are swept', async () => {
  const { client, dataDirectory } = await start({ retention: '1s', housekeepingInterval: '100ms' })
  const token = await client.requestToken(password)
  await client.start(token, 'flow.ts', archive())
  await mkdir(join(dataDirectory, 'uploads', 'incoming', 'upload-left'))
  await until(
    'the execution and the upload are gone',
    async () => ((await listData(dataDirectory)).length === 0 ? true : undefined),
    () => dataDirectory,
  )
  expect((await client.post('/list', { token })).text).not.toContain('flow.ts')
})

test(
  'the audit log tells what was done and refused, by whom, and keeps no secret',
  { timeout: 120_000 },
  async () => {
    const { client, dataDirectory, configuration } = await start({})
    const token = await client.requestToken(password)
    await client.post('/token', { password: 'guess17' })
    await client.post('/list', { token: 'forged' })
    const id = await client.start(token, 'flow.ts', archive())
    await client.awaitEnd(token, id)
    await client.post('/download', { token, id, path: 'flow.ts' })
    await client.post('/environments/add', { token, name: 'here', kind: 'local' })
    await client.post('/environments/remove', { token, name: 'here' })
    await client.remove(token, id)
    await server?.close()
    const again = await startServer({ ...configuration, slots: 7 }, { log: silent })
    await again.close()
    const path = join(dataDirectory, 'audit.log')
    const text = await readFile(path, 'utf8')
    const events = text
      .trim()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line))
    expect(events.map(({ action, outcome, object }) => [action, outcome, object])).toEqual([
      ['password', 'ok', undefined],
      ['login', 'ok', undefined],
      ['login', 'password-wrong', undefined],
      ['request', 'token-invalid', '/list'],
      ['start', 'ok', id],
      ['download', 'ok', `${id}/flow.ts`],
      ['environment-add', 'ok', 'here'],
      ['environment-remove', 'ok', 'here'],
      ['remove', 'ok', id],
      ['configuration', 'ok', expect.stringMatching(/^slots: \d+ -> 7$/)],
    ])
    expect(events[1]?.tokenId).toBe(events[4]?.tokenId)
    expect(events[1]?.address).toBe('127.0.0.1')
    for (const secret of [token, password, 'guess17', 'forged']) expect(text).not.toContain(secret)
    expect(await verifyAudit(path)).toEqual({ kind: 'whole', lines: 10, first: 1 })
  },
)
