import { expect, test } from 'vitest'
import { z } from 'zod'
import { createTestApi, type TestApi } from '../../test/helpers/api-server.ts'
import { Problem } from '../problem.ts'
import { jsonRoute, rawRoute, type Dialect } from './route.ts'

/** A protocol that needs all that the main API does not. */
const dialect: Dialect = {
  name: 'other',
  mount: '/other/v1.0',
  problemSchema: z.object({ status: z.string() }),
  tellProblem: ({ message, telling }) =>
    new Response(JSON.stringify({ status: message }), {
      status: telling.status,
      headers: { 'content-type': 'application/json' },
    }),
  routes: [
    jsonRoute({
      method: 'GET',
      path: '/jobs/:id{[^/]+}',
      summary: 'A job.',
      access: 'token',
      parameters: z.object({ limit: z.coerce.number().default(5) }),
      problems: [],
      answer: { status: 200, description: 'It.', schema: z.object({ id: z.string(), limit: z.number() }) },
      handle: ({ path, parameters }) => ({ id: path['id'] ?? '', ...parameters }),
    }),
    rawRoute({
      method: 'DELETE',
      path: '/jobs/:id{[^/]+}',
      summary: 'No job.',
      access: 'token',
      parameters: z.object({}),
      problems: ['not-allowed'],
      answer: { status: 200, description: 'It is gone.' },
      handle: ({ principal }) => new Response(JSON.stringify(principal)),
    }),
    rawRoute({
      method: 'GET',
      path: '/jobs/:id{[^/]+}/cancel',
      audit: 'cancel',
      summary: 'As some protocols end a job.',
      access: 'token',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'It has ended.' },
      handle: () => new Response('ended'),
    }),
    jsonRoute({
      method: 'POST',
      path: '/jobs',
      summary: 'A new job.',
      access: 'token',
      parameters: z.object({ dry: z.string().optional() }),
      body: 'text',
      bodyBytesAtMost: 40,
      bodySchema: z.object({ app: z.string() }),
      problems: [],
      answer: { status: 201, description: 'It.', schema: z.object({ text: z.string(), dry: z.string() }) },
      handle: ({ text, parameters }) => ({ text, dry: parameters.dry ?? '' }),
    }),
    jsonRoute({
      method: 'POST',
      path: '/upload',
      summary: 'A file.',
      access: 'token',
      parameters: z.object({}),
      file: 'file',
      fileBytesAtMost: 10,
      problems: [],
      answer: { status: 200, description: 'It.', schema: z.array(z.unknown()) },
      handle: ({ files }) => files.map(({ field, fileName, sizeBytes }) => ({ field, fileName, sizeBytes })),
    }),
  ],
}

const good = { authorization: 'Bearer good' }

const send = async (
  server: TestApi,
  method: string,
  path: string,
  body?: string | FormData,
  headers = {},
) => {
  const answer = await server.api.request(
    `/other/v1.0${path}`,
    { method, headers: { ...good, ...headers }, ...(body !== undefined && { body }) },
    {},
  )
  return { status: answer.status, allow: answer.headers.get('allow'), body: await answer.text() }
}

test('paths lie below the mount and have placeholders, decoded', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  const found = await send(server, 'GET', '/jobs/a%2Fb%20c?limit=3')
  expect(found).toMatchObject({ status: 200, body: JSON.stringify({ id: 'a/b c', limit: 3 }) })
  expect(server.observed[0]).toMatchObject({ route: '/other/v1.0/jobs/:id{[^/]+}' })
  expect((await server.api.request('/jobs/a', { headers: good }, {})).status).toBe(404)
})

test('one path has a method each, and others are told what there is', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  const deleted = await send(server, 'DELETE', '/jobs/7')
  expect(JSON.parse(deleted.body)).toEqual({ kind: 'operator', id: 'good' })
  expect(await send(server, 'PUT', '/jobs/7')).toMatchObject({ status: 405, allow: 'GET, HEAD, DELETE' })
})

test('a path that does something by GET does nothing by HEAD', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  expect(await send(server, 'GET', '/jobs/7/cancel')).toMatchObject({ status: 200, body: 'ended' })
  expect(await send(server, 'HEAD', '/jobs/7/cancel')).toMatchObject({ status: 405, allow: 'GET' })
})

test('a body that is text comes as it is, whatever it says to be, and no longer than it may be', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/xml', '']) {
    const answer = await send(server, 'POST', '/jobs?dry=yes', '{"app":"a&b"}', { 'content-type': type })
    expect([type, answer.status]).toEqual([type, 201])
    expect(JSON.parse(answer.body)).toEqual({ text: '{"app":"a&b"}', dry: 'yes' })
  }
  const long = await send(server, 'POST', '/jobs', 'x'.repeat(41))
  expect(long).toMatchObject({
    status: 413,
    body: expect.stringContaining('larger than 40 bytes'),
  })
  // A token in such a body is no token.
  const form = new URLSearchParams({ token: 'good' })
  expect((await server.api.request('/other/v1.0/jobs', { method: 'POST', body: form }, {})).status).toBe(401)
})

test('a file that a route refuses by its name is not read, and told as that route tells problems', async () => {
  const first = dialect.routes.find(({ path }) => path === '/upload')
  if (first === undefined) throw new Error('There is no such route.')
  const strict: Dialect = {
    ...dialect,
    routes: [
      {
        ...first,
        admitFile(_, { fileName }) {
          if (!fileName.endsWith('.fits')) throw new Problem('parameter-invalid', `not ${fileName}`)
        },
        tellProblem: ({ message }) => new Response(`own: ${message}`, { status: 415 }),
      },
    ],
  }
  await using server = await createTestApi({ dialects: [strict] })
  const form = (name: string) => {
    const data = new FormData()
    data.append('file', new Blob(['x'.repeat(1000)]), name)
    return data
  }
  // Its size would be refused as well, once it is read.
  expect(await send(server, 'POST', '/upload', form('m51.exe'))).toMatchObject({
    status: 415,
    body: 'own: not m51.exe',
  })
  expect(await send(server, 'GET', '/upload')).toMatchObject({ status: 405 })
})

test('where one file may come, a second one is refused', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  const data = new FormData()
  for (const name of ['a.fits', 'b.fits']) data.append('file', new Blob(['x']), name)
  expect(await send(server, 'POST', '/upload', data)).toMatchObject({
    body: expect.stringContaining('Expected one file, got two.'),
  })
})

test('a file under a name of its own is taken, up to its size', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  const form = (bytes: number, name = 'file') => {
    const data = new FormData()
    data.append(name, new Blob(['x'.repeat(bytes)]), 'm51.fits')
    return data
  }
  const taken = await send(server, 'POST', '/upload', form(10))
  expect(JSON.parse(taken.body)).toEqual([{ field: '', fileName: 'm51.fits', sizeBytes: 10 }])
  expect(await send(server, 'POST', '/upload', form(11))).toMatchObject({ status: 413 })
  expect(await send(server, 'POST', '/upload', form(1, 'image'))).toMatchObject({
    status: 400,
    body: expect.stringContaining('not expected'),
  })
})

test('problems are told as the dialect tells them, also those of paths that it does not have', async () => {
  await using server = await createTestApi({ dialects: [dialect] })
  const none = { authorization: 'Bearer bad' }
  const refused = await send(server, 'GET', '/jobs/1', undefined, none)
  expect(refused).toMatchObject({
    status: 401,
    body: JSON.stringify({ status: 'This service requires a valid token' }),
  })
  expect(await send(server, 'GET', '/nowhere')).toMatchObject({
    status: 404,
    body: JSON.stringify({ status: 'There is no route "/other/v1.0/nowhere".' }),
  })
})

test('a dialect may have its own way to find out who asks', async () => {
  await using server = await createTestApi({
    dialects: [
      {
        ...dialect,
        async authenticate({ header, parameter, path }) {
          if (header('x-key') !== 'k1' && parameter('key') !== 'k1')
            throw new Problem('token-invalid', 'Expected the header X-Key.')
          return { kind: 'operator', id: `by key for ${path['id']}` }
        },
      },
    ],
  })
  expect((await send(server, 'DELETE', '/jobs/7')).status).toBe(401)
  for (const [path, headers] of [
    ['/jobs/7', { 'x-key': 'k1' }],
    ['/jobs/7?key=k1', {}],
  ] as const) {
    const answer = await send(server, 'DELETE', path, undefined, headers)
    expect(JSON.parse(answer.body)).toEqual({ kind: 'operator', id: 'by key for 7' })
  }
})

test('the description has the dialects that speak JSON', async () => {
  await using server = await createTestApi({
    dialects: [dialect, { ...dialect, name: 'xml', mount: '/xml', problemSchema: undefined }],
  })
  const { paths, components } = z
    .object({
      paths: z.record(z.string(), z.record(z.string(), z.looseObject({ operationId: z.string() }))),
      components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
    })
    .parse(await (await server.api.request('/openapi.json', {}, {})).json())
  expect(Object.keys(paths).filter((path) => path.startsWith('/other') || path.startsWith('/xml'))).toEqual([
    '/other/v1.0/jobs/{id}',
    '/other/v1.0/jobs/{id}/cancel',
    '/other/v1.0/jobs',
    '/other/v1.0/upload',
  ])
  expect(paths['/other/v1.0/jobs/{id}']).toMatchObject({
    get: {
      operationId: 'getOtherV10JobsId',
      parameters: [
        { name: 'id', in: 'path', required: true },
        { name: 'limit', in: 'query', required: false },
      ],
    },
    delete: { operationId: 'deleteOtherV10JobsId', parameters: [{ name: 'id', in: 'path' }] },
  })
  expect(paths['/other/v1.0/jobs']).toMatchObject({
    post: {
      operationId: 'otherV10Jobs',
      requestBody: { content: { 'application/json': { schema: { required: ['app'] } } } },
      responses: {
        401: { content: { 'application/json': { schema: { $ref: '#/components/schemas/OtherProblem' } } } },
      },
    },
  })
  expect(Object.keys(components.schemas)).toEqual(['Problem', 'OtherProblem'])
})
