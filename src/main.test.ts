import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { password, startTestServer } from '../test/helpers/running-server.ts'
import { tarGzip } from '../test/helpers/tar.ts'
import { startServer } from './main.ts'
import { createLog } from './telemetry/log.ts'

const silent = createLog({ level: 'silent', format: 'json', isTerminal: false, now: Date.now })

const script = `
import { functionTask } from 'molehill'
export default functionTask('nothing', { inputs: [], outputs: [], run: () => ({}) })
`

async function post(url: string, path: string, parameters: Record<string, string>) {
  const answer = await fetch(url + path, { method: 'POST', body: new URLSearchParams(parameters) })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
}

async function start(url: string, token: string, content = script): Promise<string> {
  const form = new FormData()
  form.set('token', token)
  form.set('script', 'flow.ts')
  form.set('workDirectory', new Blob([new Uint8Array(tarGzip([{ name: 'flow.ts', content }]))]), 'w.tgz')
  const answer: unknown = await (await fetch(`${url}/start`, { method: 'POST', body: form })).json()
  return String(Object(answer).id)
}

test('password, tokens and executions outlive the server', async () => {
  await using first = await startTestServer({ http: true })
  expect(first).toMatchObject({
    isPasswordNew: true,
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  })
  expect(first.fingerprint).toBeUndefined()
  const { token } = (await post(first.url, '/token', { password })).body
  const id = await start(first.url, token)
  await expect
    .poll(async () => (await post(first.url, '/state', { token, id })).body.state, { timeout: 20_000 })
    .toBe('finished')
  await Promise.all([first.close(), first.close()])
  await expect(fetch(`${first.url}/livez`)).rejects.toThrow('fetch failed')

  const second = await startServer(first.configuration, { log: silent })
  try {
    expect(second.isPasswordNew).toBe(false)
    expect((await post(second.url, '/list', { token })).body).toMatchObject([{ id, state: 'finished' }])
    expect((await post(second.url, '/state', { token, id })).body).toMatchObject({ completed: 1 })
    const metrics = await (await fetch(`${second.url}/metrics`)).text()
    expect(metrics).toContain('molehill_executions{state="finished"} 1')
    expect(metrics).toContain('molehill_request_duration_seconds_count{route="/list",status="200"} 1')
    expect(metrics).not.toContain(id)
    // Each of these has few values; an id would make a new time series each time.
    const few =
      'code environment kind le major minor outcome patch quantile route space state status type version'
    const labels = new Set([...metrics.matchAll(/[{,]([a-z_]+)="/g)].map(([, label]) => label ?? ''))
    expect(labels).toContain('route')
    expect([...labels].filter((label) => !few.split(' ').includes(label))).toEqual([])
  } finally {
    await second.close()
  }
})

test('one data directory has one server', async () => {
  await using first = await startTestServer({ http: true })
  await expect(startServer(first.configuration, { log: silent })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining(`is in use by process ${process.pid}`),
  })
  expect((await fetch(`${first.url}/readyz`)).status).toBe(200)
})

test('a start that fails lets go of the data directory', async () => {
  await using other = await startTestServer({ http: true })
  await using server = await startTestServer({ http: true })
  await server.close()
  const port = Number(new URL(other.url).port)
  await expect(startServer({ ...server.configuration, port }, { log: silent })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining('EADDRINUSE'),
  })
  const again = await startServer(server.configuration, { log: silent })
  await again.close()
})

test('what a killed server left of uploads is gone at the next start, and a certificate is made once', async () => {
  await using server = await startTestServer()
  expect(server.fingerprint).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
  await server.close()
  const incoming = join(server.dataDirectory, 'uploads', 'incoming')
  await mkdir(join(incoming, 'upload-half', 'work'), { recursive: true })
  const again = await startServer(server.configuration, { log: silent })
  try {
    expect(await readdir(incoming)).toEqual([])
    expect(again.fingerprint).toBe(server.fingerprint)
  } finally {
    await again.close()
  }
})

test('jobs that have ended, and environments that are gone, are not in the metrics any more', async () => {
  await using server = await startTestServer({ http: true })
  const { token } = (await post(server.url, '/token', { password })).body
  const metrics = async () => (await fetch(`${server.url}/metrics`)).text()
  await post(server.url, '/environments/add', { token, name: 'here', kind: 'local' })
  await post(server.url, '/environments/check', { token, name: 'here' })
  expect(await metrics()).toContain('molehill_environment_up{environment="here"} 1')
  const slow =
    "import { commandTask } from 'molehill'\nexport default commandTask('wait', { command: ['sleep', '600'] })"
  const id = await start(server.url, token, slow)
  await expect
    .poll(metrics, { timeout: 20_000 })
    .toContain('molehill_jobs{environment="local",state="running"} 1')
  await post(server.url, '/cancel', { token, id })
  await post(server.url, '/environments/remove', { token, name: 'here' })
  const last = await metrics()
  expect(last).not.toMatch(/molehill_jobs\{[^}]*\} [1-9]/)
  expect(last).not.toContain('"here"')
})

test('files of jobs have a port of their own for plain HTTP, where nothing else is', async () => {
  await using server = await startTestServer({ jobFilesPort: '0' })
  const { jobFilesUrl = '' } = server
  expect([server.url, jobFilesUrl]).toEqual([
    expect.stringMatching(/^https:/),
    expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  ])
  const headers = { authorization: 'Bearer planted-token' }
  const ask = async (path: string) => (await fetch(jobFilesUrl + path, { headers })).json()
  expect(await ask('/job-files/0123456789abcdef/job-1?token=planted-token')).toMatchObject({
    status: 404,
    detail: 'No environment gives files out at this address.',
  })
  for (const path of ['/', '/livez', '/metrics', '/openapi.json', '/list', '/token'])
    expect(await ask(path)).toMatchObject({ code: 'route-unknown' })
  const log = server.logged.join('')
  expect(log).toContain('/job-files/0123456789abcdef/job-1')
  expect(log).not.toContain('planted-token')
})
