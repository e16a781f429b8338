import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RequestLimiter } from '../../src/api/access/request-limiter.ts'
import { createApi, type Api } from '../../src/api/app.ts'
import type { ObservedRequest } from '../../src/api/observe.ts'
import { openmoleDialect } from '../../src/api/openmole/dialect.ts'
import { operationsDialect } from '../../src/api/operations/dialect.ts'
import type { BodyLimits } from '../../src/api/read-body.ts'
import { listen } from '../../src/api/server.ts'
import type { Dialect } from '../../src/api/route.ts'
import { openUploads } from '../../src/api/uploads.ts'
import { openCatalog } from '../../src/catalog/catalog.ts'
import { defaultArchiveLimits } from '../../src/files/archive-limits.ts'
import { writeFileDurably } from '../../src/files/durable-file.ts'
import { Problem } from '../../src/problem.ts'
import { openPreferences } from '../../src/store/preferences.ts'
import type { Users } from '../../src/users/contract.ts'
import { createUsers } from '../../src/users/users.ts'
import { createFakeExecutions, type FakeExecutions } from './fake-executions.ts'

/**
 * An API over fake executions. The operator's only token is `good`, and the only password is `sesame`. `ann` and `bob` are
 * users and their keys; ann may start workflows of her own.
 */
export interface TestApi extends AsyncDisposable {
  readonly api: Api
  readonly executions: FakeExecutions
  readonly users: Users
  readonly observed: ObservedRequest[]
  readonly reported: unknown[]
  /** Begins to stop: what is refused then is to be seen; connections stay. */
  stop(): void
  /** Holds all that the API and the executions write. */
  readonly directory: string
  /** A POST without a connection. Parameters go as an urlencoded body. */
  post(path: string, parameters?: Record<string, string>, headers?: Record<string, string>): Promise<Response>
}

const users = ['ann', 'bob']

export interface TestApiOptions {
  /** Spoken besides the main API. */
  readonly dialects?: readonly Dialect[]
  readonly limits?: Partial<BodyLimits>
  readonly gzipByDefault?: boolean
  readonly limiter?: RequestLimiter
}

export async function createTestApi({
  limits,
  gzipByDefault = false,
  limiter,
  dialects = [],
}: TestApiOptions = {}): Promise<TestApi> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-api-'))
  const executions = createFakeExecutions(join(directory, 'executions'))
  const observed: ObservedRequest[] = []
  const reported: unknown[] = []
  const stopping = new AbortController()
  const bodyLimits = { uploadBytes: 2 ** 30, textBytes: 2 ** 20, idleMs: 10_000, ...limits }
  const catalog = await openCatalog({
    shippedDirectory: join(directory, 'shipped'),
    directory: join(directory, 'catalog'),
    scriptTimeMs: 30_000,
    scriptMemoryBytes: 512 * 2 ** 20,
    variables: process.env,
    now: Date.now,
  })
  const kept = createUsers(
    await openPreferences(join(directory, 'preferences.json'), writeFileDurably),
    () => 1000,
  )
  const openmole = openmoleDialect({
    executions,
    catalog,
    gzipByDefault,
    users: kept,
    quotas: { of: () => ({}), storedBytes: async () => 0 },
    kept: [],
    async login(password) {
      if (password === undefined) throw new Problem('password-missing', 'No password sent with request')
      if (password !== 'sesame') throw new Problem('password-wrong', 'Server password is incorrect')
      const principal = { kind: 'operator', id: 'good' } as const
      return { token: 'good', id: 'good', durationMs: 86_400_000, principal }
    },
  })
  const operations = operationsDialect({
    version: '1.2.3',
    dialects: [openmole, ...dialects],
    async checkReady() {
      if (stopping.signal.aborted)
        throw new Problem('server-busy', 'The server is stopping.', { retryAfterSeconds: 10 })
    },
    metrics: { contentType: 'text/plain; version=0.0.4', text: async () => 'molehill_up 1\n' },
  })
  let requests = 0
  const api = createApi({
    dialects: [openmole, ...dialects, operations],
    authentication: {
      async identify(token) {
        const user = users.find((name) => name === token)
        if (user !== undefined)
          return {
            kind: 'user',
            id: `key of ${user}`,
            name: user,
            rights: { submitter: false, workflows: user === 'ann' ? 'any' : 'catalog' },
          }
        if (token === undefined || !/^good\d?$/.test(token))
          throw new Problem('token-invalid', 'This service requires a valid token', { hint: 'POST /token' })
        return { kind: 'operator', id: token }
      },
    },
    uploads: await openUploads(join(directory, 'uploads'), {
      ...defaultArchiveLimits,
      uploadBytes: bodyLimits.uploadBytes,
    }),
    limits: bodyLimits,
    ...(limiter !== undefined && { limiter }),
    observe: (request) => observed.push(request),
    report: (error) => reported.push(error),
    stopping: stopping.signal,
    newRequestId: () => `request-${(requests += 1)}`,
    elapsedMs: () => performance.now(),
  })
  return {
    api,
    executions,
    observed,
    reported,
    stop: () => stopping.abort(),
    directory,
    users: kept,
    post: async (path, parameters = {}, headers = {}) =>
      await api.request(path, { method: 'POST', body: new URLSearchParams(parameters), headers }, {}),
    async [Symbol.asyncDispose]() {
      await catalog.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The same API behind a real HTTP server on a free port. */
export async function serveTestApi(
  options: TestApiOptions & { readonly idleMs?: number } = {},
): Promise<TestApi & { readonly url: string; close(graceMs: number): Promise<void> }> {
  const test = await createTestApi(options)
  const server = await listen(test.api, {
    host: '127.0.0.1',
    port: 0,
    maxConnections: 100,
    idleMs: options.idleMs ?? 30_000,
    report: (error) => test.reported.push(error),
  })
  let closing: Promise<void> | undefined
  const close = (graceMs: number) => (closing ??= server.close(graceMs))
  return {
    ...test,
    url: server.url,
    close,
    async [Symbol.asyncDispose]() {
      await close(100)
      await test[Symbol.asyncDispose]()
    },
  }
}
