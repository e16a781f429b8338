import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startServer } from '../../src/main.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { until } from '../conformance/until.ts'
import {
  audience,
  clientId,
  startIdentityProvider,
  type TestIdentityProvider,
} from '../helpers/identity-provider.ts'
import { listData, password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const longMs = 120_000
const silent = createLog({ level: 'silent', format: 'json', isTerminal: false, now: Date.now })

/** Writes what it was told into a file, and waits if it is told to. */
const note = `
import { commandTask, csv, input, output, readStdout, shell, string } from 'molehill'
const text = string('text'), wait = string('wait', { default: '0' }), told = string('told')
export default commandTask('note', { command: shell\`printf %s \${text}; sleep \${wait}\`, outputs: [readStdout(told)] })
  .hook(csv('note.csv', { values: [told] }))
  .describe({
    title: 'Note',
    category: 'tests',
    inputs: [input(text), input(wait)],
    outputs: [output('note.csv', { role: 'text' })],
  })
`
const archive = tarGzip([{ name: 'workflow.ts', content: note }])

let server: TestServer
let operator: string
const keys: Record<string, string> = {}

type Fields = Readonly<Record<string, string>>

async function post(path: string, token: string, fields: Fields = {}, upload?: Buffer) {
  const form = new FormData()
  for (const [name, value] of Object.entries({ token, ...fields })) form.set(name, value)
  if (upload !== undefined) form.set('workDirectory', new Blob([new Uint8Array(upload)]), 'w.tgz')
  const answer = await fetch(`${server.url}${path}`, { method: 'POST', body: form })
  const text = await answer.text()
  const json =
    text.startsWith('{') || text.startsWith('[') ? (JSON.parse(text) as Record<string, unknown>) : {}
  return { status: answer.status, text, json }
}

async function login(secret: string): Promise<string> {
  const answer = await fetch(`${server.url}/token`, {
    method: 'POST',
    body: new URLSearchParams({ password: secret }),
  })
  return String(Object(await answer.json()).token)
}

const start = async (token: string, inputs: Fields) =>
  post('/start', token, { workflow: 'note', inputs: JSON.stringify(inputs) })

async function finished(token: string, id: string): Promise<unknown> {
  return until(
    'the execution has ended',
    async () => {
      const { state } = (await post('/state', token, { id })).json
      return state === 'running' ? undefined : state
    },
    () => id,
    60_000,
  )
}

beforeAll(async () => {
  server = await startTestServer({ http: true, requestRate: '0' })
  operator = await login(password)
  for (const [path, fields, upload] of [
    ['/catalog/add', { name: 'note' }, archive],
    ['/users/add', { name: 'ann' }, undefined],
    ['/users/add', { name: 'bob' }, undefined],
  ] as const)
    expect(await post(path, operator, fields, upload)).toMatchObject({ status: 200 })
  for (const name of ['ann', 'bob'])
    keys[name] = String((await post('/users/keys/add', operator, { name })).json['key'])
}, longMs)
afterAll(() => server[Symbol.asyncDispose]())

const ann = () => keys['ann'] ?? ''
const bob = () => keys['bob'] ?? ''

describe('two users', () => {
  test('start workflows of the catalog and see only their own', { timeout: longMs }, async () => {
    const hers = String((await start(ann(), { text: 'of ann' })).json['id'])
    const his = String((await start(bob(), { text: 'of bob' })).json['id'])
    expect([await finished(ann(), hers), await finished(bob(), his)]).toEqual(['finished', 'finished'])
    expect((await post('/download', ann(), { id: hers, path: 'note.csv' })).text).toContain('of ann')
    for (const [path, fields] of [
      ['/state', {}],
      ['/output', {}],
      ['/jobs', {}],
      ['/files', {}],
      ['/events', {}],
      ['/explain', {}],
      ['/download', { path: 'note.csv' }],
      ['/cancel', {}],
      ['/remove', {}],
    ] as const)
      expect([path, await post(path, bob(), { id: hers, ...fields })]).toMatchObject([
        path,
        { status: 417, json: { code: 'execution-unknown' } },
      ])
    const listed = async (token: string) => {
      const { json } = await post('/list', token)
      return (json as unknown as { id: string }[]).map(({ id }) => id).sort()
    }
    expect(await listed(ann())).toEqual([hers])
    expect(await listed(operator)).toEqual([hers, his].sort())
    expect((await post('/download', operator, { id: his, path: 'note.csv' })).text).toContain('of bob')
  })

  test('do not meet under one Idempotency-Key', { timeout: longMs }, async () => {
    const send = async (token: string) => {
      const answer = await fetch(`${server.url}/start`, {
        method: 'POST',
        headers: { 'idempotency-key': 'the-same' },
        body: new URLSearchParams({ token, workflow: 'note', inputs: '{"text":"a"}' }),
      })
      return String(Object(await answer.json()).id)
    }
    const [hers, his] = [await send(ann()), await send(bob())]
    expect(hers).not.toBe(his)
    expect([await send(ann()), await send(bob())]).toEqual([hers, his])
  })

  test(
    'may not post what is not in the catalog, unless that is their right',
    { timeout: longMs },
    async () => {
      const give = async () =>
        post('/start', ann(), { script: 'workflow.ts', inputs: '{"text":"own"}' }, archive)
      expect(await give()).toMatchObject({ status: 403, json: { code: 'not-allowed' } })
      expect((await readdir(join(server.dataDirectory, 'uploads', 'incoming'))).length).toBe(0)
      await post('/users/change', operator, { name: 'ann', workflows: 'any' })
      const { status, json } = await give()
      expect(status).toBe(200)
      expect(await finished(ann(), String(json['id']))).toBe('finished')
      await post('/users/change', operator, { name: 'ann', workflows: 'catalog' })
    },
  )

  test(
    'come with a bearer key or with a token for it, which is void when the key is',
    { timeout: longMs },
    async () => {
      const { id, key } = (await post('/users/keys/add', operator, { name: 'ann' })).json
      const bearer = async (secret: string) =>
        (
          await fetch(`${server.url}/list`, {
            method: 'POST',
            headers: { authorization: `Bearer ${secret}` },
          })
        ).status
      const token = await login(String(key))
      expect(token).not.toBe(key)
      expect([await bearer(String(key)), await bearer(token)]).toEqual([200, 200])
      await post('/users/keys/remove', operator, { name: 'ann', key: String(id) })
      expect([await bearer(String(key)), await bearer(token), await bearer(ann())]).toEqual([401, 401, 200])
    },
  )

  test('are told apart in the audit log and in the log, which hold no key', { timeout: longMs }, async () => {
    const log = await until('the audit log tells of both', async () => {
      const text = await readFile(join(server.dataDirectory, 'audit.log'), 'utf8')
      return ['"ann"', '"bob"'].every(
        (name) => text.includes(`"action":"start","outcome":"ok"`) && text.includes(`"user":${name}`),
      )
        ? text
        : undefined
    })
    for (const secret of [ann(), bob()]) {
      expect(log).not.toContain(secret)
      expect(server.logged.join('\n')).not.toContain(secret)
      expect(await readFile(join(server.dataDirectory, 'preferences.json'), 'utf8')).not.toContain(secret)
    }
  })
})

describe('a quota', () => {
  test(
    'of stored bytes refuses uploads and starts, and room is there again after a removal',
    { timeout: longMs },
    async () => {
      const quota = async (storedBytes: string) =>
        post('/users/change', operator, { name: 'bob', workflows: 'any', storedBytes })
      const size = 3_000_000
      const large = tarGzip([
        { name: 'workflow.ts', content: note },
        { name: 'data', content: 'x'.repeat(size) },
      ])
      const give = async () => post('/start', bob(), { script: 'workflow.ts', inputs: '{"text":"a"}' }, large)
      await post('/users/change', operator, { name: 'bob', workflows: 'any' })
      const first = await give()
      expect(first.status).toBe(200)
      await finished(bob(), String(first.json['id']))
      await quota(String(2 * size))
      const before = await listData(server.dataDirectory)
      expect(await give()).toMatchObject({
        status: 403,
        json: {
          code: 'quota-exceeded',
          message: expect.stringMatching(/^bob may keep .* MiB, and has .* MiB/),
        },
      })
      await quota('1000')
      expect(await start(bob(), { text: 'a' })).toMatchObject({
        status: 403,
        json: { code: 'quota-exceeded' },
      })
      expect(await listData(server.dataDirectory)).toEqual(before)
      await quota(String(2 * size))
      await post('/remove', bob(), { id: String(first.json['id']) })
      expect((await give()).status).toBe(200)
      const { users } = (await post('/users', bob())).json as { users: { storedBytes: number }[] }
      expect(users[0]?.storedBytes).toBeGreaterThan(size)
      await quota('none')
    },
  )

  test('of jobs lets them wait, and refuses more when too many do', { timeout: longMs }, async () => {
    await post('/users/change', operator, { name: 'bob', runningJobs: '1' })
    const ids = [
      await start(bob(), { text: 'a', wait: '600' }),
      await start(bob(), { text: 'b', wait: '600' }),
    ].map(({ json }) => String(json['id']))
    const count = async (id: string) => (await post('/state', bob(), { id })).json
    await until('one runs and one waits', async () => {
      const [one, two] = [await count(ids[0] ?? ''), await count(ids[1] ?? '')]
      return one['running'] === 1 && two['ready'] === 1 ? true : undefined
    })
    await post('/users/change', operator, { name: 'bob', queuedJobs: '1' })
    expect(await start(bob(), { text: 'c' })).toMatchObject({ status: 403, json: { code: 'quota-exceeded' } })
    expect((await start(ann(), { text: 'c' })).status).toBe(200)
    await post('/users/change', operator, { name: 'bob', runningJobs: 'none', queuedJobs: 'none' })
    await until('both run', async () => ((await count(ids[1] ?? ''))['running'] === 1 ? true : undefined))
    for (const id of ids) await post('/remove', bob(), { id })
  })
})

test('users, their executions and their keys outlive the server', { timeout: longMs }, async () => {
  const id = String((await start(ann(), { text: 'kept' })).json['id'])
  await finished(ann(), id)
  await server.close()
  const again = await startServer(server.configuration, { log: silent })
  server = { ...server, ...again }
  expect((await post('/download', ann(), { id, path: 'note.csv' })).text).toContain('kept')
  expect(await post('/state', bob(), { id })).toMatchObject({ status: 417 })
})

test('a user is removed with all that is his, and his requests end there', { timeout: longMs }, async () => {
  await post('/users/add', operator, { name: 'carl' })
  const key = String((await post('/users/keys/add', operator, { name: 'carl' })).json['key'])
  const id = String((await start(key, { text: 'a', wait: '600' })).json['id'])
  expect(await post('/users/remove', operator, { name: 'carl' })).toMatchObject({
    status: 409,
    json: { code: 'user-conflict', message: 'carl has 1 executions.' },
  })
  expect((await post('/state', key, { id })).json).toMatchObject({ state: 'running' })
  expect(await post('/users/remove', operator, { name: 'carl', withExecutions: 'yes' })).toMatchObject({
    status: 200,
  })
  expect((await post('/list', key)).status).toBe(401)
  expect(await post('/state', operator, { id })).toMatchObject({ status: 417 })
  expect(await readdir(join(server.dataDirectory, 'executions'))).not.toContain(id)
})

describe('a server with an OpenID Connect provider', () => {
  let idp: TestIdentityProvider
  let main: TestServer

  beforeAll(async () => {
    idp = await startIdentityProvider()
    main = server
    server = await startTestServer({
      http: true,
      oidcIssuer: idp.issuer,
      oidcAudience: audience,
      oidcNewUsers: 'on',
    })
    operator = await login(password)
    expect(await post('/catalog/add', operator, { name: 'note' }, archive)).toMatchObject({ status: 200 })
    await post('/users/add', operator, { name: 'dora', issuer: idp.issuer, subject: '7f3a' })
  }, longMs)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    server = main
    await idp.close()
  })

  test('takes its tokens as those of users, and makes new ones', { timeout: longMs }, async () => {
    const [dora, stranger] = [await idp.issueToken('7f3a'), await idp.issueToken('stranger')]
    const id = String((await start(dora, { text: 'of dora' })).json['id'])
    await finished(dora, id)
    expect(await post('/state', stranger, { id })).toMatchObject({ status: 417 })
    expect(await post('/users', dora)).toMatchObject({ json: { users: [{ name: 'dora', executions: 1 }] } })
    const { users } = (await post('/users', operator)).json as {
      users: { name: string; identities: object[] }[]
    }
    expect(users.map(({ identities }) => identities)).toEqual([
      [{ issuer: idp.issuer, subject: '7f3a' }],
      [{ issuer: idp.issuer, subject: 'stranger' }],
    ])
    expect(await post('/list', await idp.issueToken('7f3a', { audience: clientId }))).toMatchObject({
      status: 401,
    })
  })

  test(
    'still knows its own tokens and its operator when the provider is away',
    { timeout: longMs },
    async () => {
      await idp.close()
      expect((await post('/list', operator)).status).toBe(200)
      expect((await post('/list', await idp.issueToken('7f3a'))).status).toBe(200)
    },
  )
})

test('a server does not start with half of what it needs of a provider', async () => {
  await expect(startTestServer({ http: true, oidcIssuer: 'https://idp.example' })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: 'Expected --oidc-audience with --oidc-issuer, got none.',
  })
})
