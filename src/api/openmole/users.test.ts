import { expect, test } from 'vitest'
import { createTestApi, type TestApi } from '../../../test/helpers/api-server.ts'

const send = async (server: TestApi, path: string, parameters: Record<string, string>, token = 'good') => {
  const answer = await server.post(path, { token, ...parameters })
  const text = await answer.text()
  return {
    status: answer.status,
    body: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>),
  }
}

/** An execution that the fake runs without a work directory being sent. */
function give(server: TestApi, owner: string, id: string): void {
  const summary = {
    id,
    owner,
    labels: {},
    name: '',
    script: '',
    state: 'running',
    isCancelled: false,
  } as const
  server.executions.all.set(id, {
    output: `output of ${owner}`,
    jobs: [],
    workDirectory: server.directory,
    state: {
      ...summary,
      startedAt: 1,
      endedAt: null,
      counts: { ready: 0, running: 0, completed: 0, failed: 0 },
      capsules: [],
      environments: [],
    },
  })
}

test('the operator adds, changes, lists and removes users', async () => {
  await using server = await createTestApi()
  expect(
    await send(server, '/users/add', {
      name: 'carl',
      submitter: 'yes',
      storedBytes: '1000',
      queuedJobs: '5',
    }),
  ).toMatchObject({ status: 200 })
  expect(await send(server, '/users/add', { name: 'carl' })).toMatchObject({
    status: 409,
    body: { code: 'user-conflict', message: 'There is a user named carl already.' },
  })
  await send(server, '/users/change', {
    name: 'carl',
    workflows: 'any',
    storedBytes: 'none',
    issuer: 'https://idp.example',
    subject: '7',
  })
  expect(await send(server, '/users', {})).toEqual({
    status: 200,
    body: {
      users: [
        {
          name: 'carl',
          submitter: true,
          workflows: 'any',
          quota: {},
          storedBytes: 0,
          executions: 0,
          keys: [],
          identities: [{ issuer: 'https://idp.example', subject: '7' }],
          createdAt: 1000,
        },
      ],
    },
  })
  expect(server.users.find('carl')?.quota).toEqual({ queuedJobs: 5 })
  expect(await send(server, '/users/remove', { name: 'carl' })).toMatchObject({ status: 200 })
  expect(await send(server, '/users/remove', { name: 'carl' })).toMatchObject({
    status: 404,
    body: { code: 'user-unknown' },
  })
})

test('a key is told once, removed by its id, and neither log nor audit learn it', async () => {
  await using server = await createTestApi()
  await send(server, '/users/add', { name: 'carl' })
  const made = await send(server, '/users/keys/add', { name: 'carl' })
  const { id, key } = { id: String(made.body?.['id']), key: String(made.body?.['key']) }
  expect(server.users.byKey(key)?.user.name).toBe('carl')
  const listed = await send(server, '/users', {})
  expect(listed.body).toMatchObject({ users: [{ keys: [{ key: id, createdAt: 1000 }] }] })
  expect(JSON.stringify(listed)).not.toContain(key)
  expect(JSON.stringify(server.observed)).not.toContain(key)
  expect(server.observed).toContainEqual(
    expect.objectContaining({ audit: 'key-add', object: `carl/${id}`, user: undefined }),
  )
  expect(await send(server, '/users/keys/remove', { name: 'carl', key: id })).toMatchObject({ status: 200 })
  expect(server.users.byKey(key)).toBeUndefined()
  expect(await send(server, '/users/keys/remove', { name: 'carl', key: id })).toMatchObject({ status: 404 })
})

test.each([
  { storedBytes: '-1' },
  { storedBytes: '1.5' },
  { runningJobs: 'many' },
  { queuedJobs: '1e99' },
  { workflows: 'all' },
  { issuer: 'https://idp.example' },
  { subject: '7' },
  { name: '../carl' },
])('what cannot be is refused and changes nothing: %j', async (settings) => {
  await using server = await createTestApi()
  expect(await send(server, '/users/add', { name: 'carl', ...settings })).toMatchObject({ status: 400 })
  expect(server.users.list()).toEqual([])
})

test('a user who has executions is removed with them or not at all', async () => {
  await using server = await createTestApi()
  await send(server, '/users/add', { name: 'ann' })
  give(server, 'ann', 'hers')
  give(server, 'bob', 'his')
  server.executions.remove = async (id) => void server.executions.all.delete(id)
  expect(await send(server, '/users/remove', { name: 'ann' })).toMatchObject({
    status: 409,
    body: {
      code: 'user-conflict',
      message: 'ann has 1 executions.',
      hint: expect.stringContaining('--with-executions'),
    },
  })
  expect(server.users.find('ann')).toBeDefined()
  expect(await send(server, '/users/remove', { name: 'ann', withExecutions: 'yes' })).toMatchObject({
    status: 200,
  })
  expect([...server.executions.all.keys()]).toEqual(['his'])
  expect(server.users.find('ann')).toBeUndefined()
})

test('a removal that was broken off goes on, and nobody gets what it has left', async () => {
  await using server = await createTestApi()
  give(server, 'ann', 'hers')
  server.executions.remove = async (id) => void server.executions.all.delete(id)
  expect(await send(server, '/users/add', { name: 'ann' })).toMatchObject({
    status: 409,
    body: { message: 'Executions of an earlier user named ann are left.' },
  })
  expect(await send(server, '/users/remove', { name: 'ann', withExecutions: 'yes' })).toMatchObject({
    status: 200,
  })
  expect(await send(server, '/users/add', { name: 'ann' })).toMatchObject({ status: 200 })
})

test('a user asks for himself, and changes nothing', async () => {
  await using server = await createTestApi()
  for (const name of ['ann', 'bob']) await send(server, '/users/add', { name })
  const own = await send(server, '/users', {}, 'ann')
  expect(own.body).toMatchObject({ users: [{ name: 'ann' }] })
  expect(Object(own.body).users).toHaveLength(1)
})

test.each([
  ['/users/add', { name: 'eve' }],
  ['/users/change', { name: 'ann', workflows: 'any' }],
  ['/users/remove', { name: 'bob' }],
  ['/users/keys/add', { name: 'bob' }],
  ['/users/keys/remove', { name: 'bob', key: 'k' }],
  ['/environments', {}],
  ['/environments/add', { name: 'here', kind: 'local' }],
  ['/environments/check', { name: 'here' }],
  ['/environments/remove', { name: 'here' }],
  ['/catalog/remove', { name: 'measure' }],
])('%s is for the operator', async (path, parameters) => {
  await using server = await createTestApi()
  for (const user of ['ann', 'bob'])
    expect(await send(server, path, parameters, user)).toMatchObject({
      status: 403,
      body: { code: 'not-allowed', hint: expect.stringContaining('operator') },
    })
  expect(server.users.list()).toEqual([])
})

test('every route that names an execution knows that of its user only, whatever else it takes', async () => {
  await using server = await createTestApi()
  give(server, 'ann', 'hers')
  give(server, 'bob', 'his')
  const description = Object(await (await server.api.request('/openapi.json', {}, {})).json())
  const paths = Object.entries<unknown>(description.paths).flatMap(([path, methods]) =>
    JSON.stringify(Object(methods).post ?? '').includes('"id":{"type":"string","description":"The execution')
      ? [path]
      : [],
  )
  expect(paths).toEqual(
    expect.arrayContaining([
      '/state',
      '/output',
      '/download',
      '/files',
      '/jobs',
      '/cancel',
      '/remove',
      '/events',
    ]),
  )
  for (const path of paths)
    expect([path, await send(server, path, { id: 'his' }, 'ann')]).toEqual([
      path,
      {
        status: 417,
        body: expect.objectContaining({ code: 'execution-unknown', message: 'Execution not found' }),
      },
    ])
  expect(server.executions.all.size).toBe(2)
  expect(server.executions.all.get('his')?.state.isCancelled).toBe(false)
  expect(await send(server, '/output', { id: 'hers' }, 'ann')).toMatchObject({
    body: { output: 'output of ann' },
  })
  const listed = async (token: string) =>
    Object(await (await server.post('/list', { token })).json()).map(
      ({ id, owner }: Record<string, unknown>) => [id, owner],
    )
  expect(await listed('ann')).toEqual([['hers', 'ann']])
  expect(await listed('good')).toEqual([
    ['hers', 'ann'],
    ['his', 'bob'],
  ])
})

test('a user installs nothing in the catalog', async () => {
  await using server = await createTestApi()
  const form = new FormData()
  for (const [name, value] of Object.entries({ token: 'ann', name: 'mine' })) form.set(name, value)
  form.set('workDirectory', new Blob(['no archive']), 'w.tgz')
  const answer = await server.api.request('/catalog/add', { method: 'POST', body: form }, {})
  expect([answer.status, await answer.json()]).toEqual([
    403,
    expect.objectContaining({ code: 'not-allowed' }),
  ])
})

test('a user posts work directories only where that is his right', async () => {
  await using server = await createTestApi()
  for (const path of ['/start', '/validate'])
    for (const [user, status] of [
      ['ann', 417],
      ['bob', 403],
    ] as const) {
      const form = new FormData()
      for (const [name, value] of Object.entries({ token: user, script: 'flow.ts' })) form.set(name, value)
      form.set('workDirectory', new Blob(['no archive']), 'w.tgz')
      const answer = await server.api.request(path, { method: 'POST', body: form }, {})
      expect([path, user, answer.status]).toEqual([path, user, status])
    }
})

test('a user with the catalog only does not choose where jobs run', async () => {
  await using server = await createTestApi()
  const start = async (user: string) =>
    send(server, '/start', { workflow: 'nothing', environment: 'cluster' }, user)
  expect(await start('bob')).toMatchObject({
    status: 403,
    body: { message: 'This user may not choose where jobs run.' },
  })
  expect(await start('ann')).toMatchObject({ status: 404, body: { code: 'workflow-unknown' } })
})
