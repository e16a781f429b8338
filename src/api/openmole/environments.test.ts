import { expect, test } from 'vitest'
import { createTestApi, type TestApi } from '../../../test/helpers/api-server.ts'

const token = 'good'
const password = 'open sesame'

async function add(test: TestApi, change: Record<string, string> = {}) {
  const answer = await test.post('/environments/add', {
    token,
    name: 'hub',
    kind: 'ssh',
    options: '{"host":"hub.example"}',
    secrets: JSON.stringify({ password }),
    ...change,
  })
  return { status: answer.status, text: await answer.text() }
}

async function list(test: TestApi): Promise<unknown> {
  return (await test.post('/environments', { token })).json()
}

test('an environment is kept, listed without its secrets, and removed', async () => {
  await using test = await createTestApi()
  expect(await add(test)).toEqual({ status: 200, text: '{"name":"hub","inUse":false}' })
  expect(await list(test)).toEqual({
    environments: [
      {
        name: 'hub',
        kind: 'ssh',
        named: true,
        options: { host: 'hub.example' },
        secrets: ['password'],
        health: { state: 'unknown', message: 'It was not checked yet.' },
        jobs: { ready: 0, submitted: 0, running: 0, done: 0, failed: 0 },
      },
    ],
    kinds: [
      { kind: 'local', secrets: [] },
      { kind: 'ssh', secrets: ['password'] },
    ],
  })
  expect((await test.post('/environments/remove', { token, name: 'hub' })).status).toBe(200)
  expect(await list(test)).toMatchObject({ environments: [] })
  const told = test.observed.map(({ audit, object, code }) => ({ audit, object, code }))
  expect(told.filter(({ audit }) => audit !== undefined)).toEqual([
    { audit: 'environment-add', object: 'hub', code: undefined },
    { audit: 'environment-remove', object: 'hub', code: undefined },
  ])
  expect(JSON.stringify(test.observed)).not.toContain(password)
})

test('a check tells what is good, what is not, and what to do', async () => {
  await using test = await createTestApi()
  await add(test, { name: 'away' })
  const answer = await test.post('/environments/check', { token, name: 'away' })
  expect(await answer.json()).toEqual({
    good: false,
    findings: [
      { what: 'host', good: true, message: 'It answers.' },
      { what: 'disk', good: false, message: 'It is full.', fix: 'Free some.' },
    ],
  })
})

test.each([
  ['name', {}, 417, 'name is missing'],
  ['kind', {}, 417, 'kind is missing'],
  ['', { options: '[]' }, 400, 'The parameter \\"options\\" cannot be read: expected a JSON object.'],
  ['', { secrets: password }, 400, 'The parameter \\"secrets\\" cannot be read'],
  ['', { secrets: `{"password":["${password}"]}` }, 400, 'The parameter \\"secrets\\" cannot be read'],
  ['', { replace: 'perhaps' }, 400, 'The parameter \\"replace\\" cannot be read'],
])(
  'without %s and with %j the answer is a problem that quotes no secret',
  async (left, change, status, words) => {
    await using test = await createTestApi()
    const parameters = { token, name: 'hub', kind: 'ssh', secrets: JSON.stringify({ password }), ...change }
    const sent = Object.fromEntries(Object.entries(parameters).filter(([name]) => name !== left))
    const answer = await test.post('/environments/add', sent)
    const text = await answer.text()
    expect({ status: answer.status, text }).toEqual({ status, text: expect.stringContaining(words) })
    expect(text).not.toContain(password)
    expect(await list(test)).toMatchObject({ environments: [] })
  },
)

test('two of one name, and none of it, are refused', async () => {
  await using test = await createTestApi()
  await add(test)
  expect(await add(test)).toMatchObject({
    status: 409,
    text: expect.stringContaining('environment-conflict'),
  })
  expect(await add(test, { replace: 'true' })).toMatchObject({ status: 200 })
  for (const route of ['check', 'remove']) {
    const answer = await test.post(`/environments/${route}`, { token, name: 'none' })
    expect(await answer.json()).toMatchObject({ code: 'environment-unknown', status: 404 })
  }
})

test('nothing is told without a token', async () => {
  await using test = await createTestApi()
  for (const route of ['', '/add', '/check', '/remove'])
    expect((await test.post(`/environments${route}`, { name: 'hub', kind: 'ssh' })).status).toBe(401)
})
