import { format } from 'prettier'
import { expect, test } from 'vitest'
import { createFileDesk } from '../environment/file-desk.ts'
import { jobFilesDialect } from './job-files/dialect.ts'
import { createTestApi } from '../../test/helpers/api-server.ts'
import { problemSchema } from './problem-answer.ts'

test('a route answers, and its request is told of once, without its secrets', async () => {
  await using server = await createTestApi()
  const answer = await server.post('/token?password=sesame')
  expect(answer.status).toBe(202)
  expect(await answer.json()).toEqual({ token: 'good', duration: 86_400_000 })
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('x-request-id')).toBe('request-1')
  expect(server.observed).toEqual([
    {
      requestId: 'request-1',
      method: 'POST',
      route: '/token',
      path: '/token',
      status: 202,
      code: undefined,
      executionId: undefined,
      tokenId: 'good',
      audit: 'login',
      durationMs: expect.any(Number),
      address: '',
      isBroken: false,
    },
  ])
  expect(JSON.stringify(server.observed)).not.toContain('sesame')
})

test('an unknown route is 404, another method 405 with what is allowed', async () => {
  await using server = await createTestApi()
  const unknown = await server.post('/nowhere')
  expect(unknown.status).toBe(404)
  expect(problemSchema.strict().parse(await unknown.json())).toMatchObject({
    code: 'route-unknown',
    message: 'There is no route "/nowhere".',
    status: 404,
    requestId: 'request-1',
  })
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const answer = await server.api.request('/state', { method }, {})
    expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'POST'])
    expect(problemSchema.strict().parse(await answer.json()).message).toBe(
      `Expected POST for /state, got ${method}.`,
    )
  }
  const posted = await server.post('/livez')
  expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
})

test('problems are problem+json with the message of OpenMOLE', async () => {
  await using server = await createTestApi()
  const answer = await server.post('/state', { token: 'good', id: 'none' })
  expect(answer.status).toBe(417)
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
  expect(await answer.json()).toEqual({
    type: '/#execution-unknown',
    title: 'The execution is not known',
    status: 417,
    detail: 'Execution not found',
    message: 'Execution not found',
    code: 'execution-unknown',
    requestId: 'request-1',
  })
})

test('what is unexpected is 500 without its inner workings, and reported', async () => {
  await using server = await createTestApi()
  server.executions.list = () => {
    throw new Error('cannot read /srv/secret')
  }
  const answer = await server.post('/list', { token: 'good' })
  expect(answer.status).toBe(500)
  const text = await answer.text()
  expect(text).not.toContain('secret')
  expect(JSON.parse(text)).toMatchObject({ code: 'internal', requestId: 'request-1' })
  expect(server.reported).toEqual([expect.objectContaining({ message: 'cannot read /srv/secret' })])
})

test.each([
  '/state',
  '/output',
  '/download',
  '/files',
  '/jobs',
  '/cancel',
  '/remove',
  '/list',
  '/start',
  '/validate',
])('%s wants a token before anything else', async (path) => {
  await using server = await createTestApi()
  for (const parameters of [{}, { token: 'bad' }, { token: '' }]) {
    const answer = await server.post(path, parameters)
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
    expect(await answer.json()).toMatchObject({ message: 'This service requires a valid token' })
  }
})

test('the token may come as a parameter or as a bearer token', async () => {
  await using server = await createTestApi()
  expect((await server.post('/list?token=good')).status).toBe(200)
  expect((await server.post('/list', {}, { authorization: 'Bearer good' })).status).toBe(200)
  expect((await server.post('/list', {}, { authorization: 'Basic good' })).status).toBe(401)
})

test('answers cannot be framed, sniffed or run', async () => {
  await using server = await createTestApi()
  for (const path of ['/list', '/nowhere']) {
    const { headers } = await server.post(path, { token: 'good' })
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'; sandbox")
    expect(headers.get('strict-transport-security')).toBeNull()
  }
})

test('a server that stops refuses work, and is alive but not ready', async () => {
  await using server = await createTestApi()
  const get = async (path: string) => (await server.api.request(path, {}, {})).status
  expect([await get('/livez'), await get('/readyz')]).toEqual([200, 200])
  server.stop()
  expect([await get('/livez'), await get('/readyz')]).toEqual([200, 503])
  const answer = await server.post('/list', { token: 'good' })
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '10'])
  expect(answer.headers.get('connection')).toBe('close')
})

test('the page, the numbers and the description are there for everybody', async () => {
  await using server = await createTestApi()
  const page = await server.api.request('/', {}, {})
  expect(await page.text()).toContain('id="execution-unknown"')
  expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/)
  expect(await (await server.api.request('/metrics', {}, {})).text()).toBe('molehill_up 1\n')
  expect((await server.api.request('/livez', { method: 'HEAD' }, {})).status).toBe(200)
})

test('the description of the API is the one that was reviewed', async () => {
  await using server = await createTestApi({ dialects: [jobFilesDialect(createFileDesk())] })
  const answer = await server.api.request('/openapi.json', {}, {})
  const description = await format(await answer.text(), { parser: 'json', printWidth: 110 })
  await expect(description).toMatchFileSnapshot('../../test/golden/openapi.json')
})
