import { expect, test } from 'vitest'
import { createTestApi, type TestApi } from '../../../test/helpers/api-server.ts'
import type { EnvironmentFault, EnvironmentState, ExecutionState } from '../../engine/contract.ts'
import { createFaultPositions } from './fault-positions.ts'

const running: ExecutionState = {
  id: 'id-1',
  name: 'pi',
  owner: '',
  labels: {},
  script: 'pi.ts',
  state: 'running',
  isCancelled: false,
  startedAt: 1000,
  endedAt: null,
  counts: { ready: 3, running: 1, completed: 6, failed: 0 },
  capsules: [{ name: 'model', ready: 3, running: 1, completed: 6, failed: 0 }],
  environments: [environment('cluster', [fault(1)]), environment('local', [fault(2)])],
}

function environment(name: string, errors: EnvironmentFault[]): EnvironmentState {
  return { name, kind: name, ready: 2, submitted: 3, running: 1, done: 6, failed: 0, errors }
}

function fault(sequence: number): EnvironmentFault {
  return { sequence, message: `fault ${sequence}`, stackTrace: 'at job', level: 'WARNING', time: 5 }
}

async function start(state: ExecutionState = running): Promise<TestApi> {
  const server = await createTestApi()
  server.executions.all.set('id-1', { state, output: 'hello\n', jobs: [], workDirectory: server.directory })
  return server
}

async function ask(server: TestApi, path: string, parameters: Record<string, string> = {}) {
  const answer = await server.post(path, { token: 'good', id: 'id-1', ...parameters })
  return { status: answer.status, body: JSON.parse(await answer.text()) }
}

test('a running execution is told in the shape of OpenMOLE', async () => {
  await using server = await start()
  expect(await ask(server, '/state')).toEqual({
    status: 200,
    body: {
      state: 'running',
      ready: 3,
      running: 1,
      completed: 6,
      failed: 0,
      capsules: [{ model: { ready: 3, running: 1, completed: 6, failed: 0 } }],
      environments: ['cluster', 'local'].map((name, index) => ({
        name,
        submitted: 3,
        running: 1,
        done: 6,
        failed: 0,
        ready: 2,
        completed: 6,
        errors: [{ message: `fault ${index + 1}`, stackTrace: 'at job', level: 'WARNING' }],
      })),
    },
  })
})

test('each token is told each error once, and a new token all that are kept', async () => {
  await using server = await start()
  const messages = async (token: string) => {
    const { body } = await ask(server, '/state', { token })
    return body.environments.map(({ errors }: { errors: { message: string }[] }) =>
      errors.map((each) => each.message),
    )
  }
  expect(await messages('good1')).toEqual([['fault 1'], ['fault 2']])
  expect(await messages('good1')).toEqual([[], []])
  const execution = server.executions.all.get('id-1')
  if (execution)
    execution.state = {
      ...running,
      environments: [environment('cluster', [fault(1), fault(3)]), environment('local', [fault(2)])],
    }
  expect(await messages('good1')).toEqual([['fault 3'], []])
  expect(await messages('good2')).toEqual([['fault 1', 'fault 3'], ['fault 2']])
})

test('positions are forgotten for those that asked longest ago', () => {
  const positions = createFaultPositions(2)
  const told = (token: string) => positions.takeNew(token, running).flat().length
  expect([told('a'), told('b'), told('a'), told('c')]).toEqual([2, 2, 0, 2])
  expect([told('a'), told('b')]).toEqual([0, 2])
})

test('a failed one tells why, a cancelled one that it was cancelled, and a finished one neither', async () => {
  const error = { message: 'capsule model failed', stackTrace: 'at model.ts:1:1' }
  const cases = [
    [{ state: 'failed', error }, error],
    [{ state: 'failed', isCancelled: true }, { message: 'The execution was cancelled.' }],
    [{ state: 'finished' }, undefined],
  ] as const
  for (const [change, expected] of cases) {
    await using server = await start({ ...running, ...change })
    const { body } = await ask(server, '/state')
    expect(body.error).toEqual(expected)
    expect('error' in body).toBe(expected !== undefined)
    expect(body).toMatchObject({ state: change.state, completed: 6, environments: [{ name: 'cluster' }, {}] })
  }
})

test('output and list are told', async () => {
  await using server = await start()
  expect(await ask(server, '/output')).toEqual({ status: 200, body: { output: 'hello\n', running: [] } })
  const printing = [{ job: 7, subject: 'walk[3]', text: 'step 1\n' }]
  Object.assign(server.executions.all.get('id-1') ?? {}, { printing })
  expect(await ask(server, '/output')).toMatchObject({ body: { running: printing } })
  expect(await ask(server, '/output', { running: 'false' })).toMatchObject({ body: { running: [] } })
  expect(await ask(server, '/list')).toEqual({
    status: 200,
    body: [{ id: 'id-1', name: 'pi', script: 'pi.ts', state: 'running', cancelled: false, startedAt: 1000 }],
  })
})

test.each(['/state', '/output', '/download', '/files', '/jobs', '/cancel', '/remove'])(
  '%s tells a missing and an unknown id',
  async (path) => {
    await using server = await start()
    const missing = await server.post(path, { token: 'good' })
    expect([missing.status, JSON.parse(await missing.text()).message]).toEqual([417, 'id is missing'])
    for (const id of ['', 'nobody', '../id-1', 'x'.repeat(100_000)]) {
      const { status, body } = await ask(server, path, { id })
      expect([status, body.message]).toEqual([417, 'Execution not found'])
    }
  },
)

test('jobs come by pages, without what is not known', async () => {
  await using server = await start()
  const job = (id: number) => ({
    id,
    capsule: id % 2 === 0 ? 'even' : 'odd',
    ticket: `${id}`,
    state: 'completed' as const,
    attempts: 1,
    environment: 'local',
    exitCode: null,
    readyAt: 1,
    startedAt: 2,
    endedAt: null,
    error: null,
  })
  server.executions.all.get('id-1')?.jobs.push(...Array.from({ length: 250 }, (_, index) => job(index + 1)))
  const first = await ask(server, '/jobs')
  expect(first.body.jobs).toHaveLength(100)
  expect(first.body.jobs[0]).toEqual({
    id: 1,
    capsule: 'odd',
    ticket: '1',
    state: 'completed',
    attempts: 1,
    environment: 'local',
    readyAt: 1,
    startedAt: 2,
  })
  expect(first.body.next).toBe(100)
  const last = await ask(server, '/jobs', { after: '200', capsule: 'even' })
  expect([last.body.jobs.length, 'next' in last.body]).toEqual([25, false])
  for (const wrong of [
    { limit: '0' },
    { limit: 'many' },
    { limit: '1001' },
    { after: '-1' },
    { state: 'lost' },
  ])
    expect(await ask(server, '/jobs', wrong)).toMatchObject({
      status: 400,
      body: { code: 'parameter-invalid' },
    })
})

test('cancel and remove answer with nothing', async () => {
  await using server = await createTestApi()
  const { executions } = server
  executions.all.set('id-1', {
    state: running,
    output: '',
    jobs: [],
    workDirectory: `${server.directory}/none`,
  })
  const cancelled = await server.post('/cancel', { token: 'good', id: 'id-1' })
  expect([cancelled.status, await cancelled.text()]).toEqual([200, ''])
  expect(executions.state('id-1').isCancelled).toBe(true)
  executions.remove = async (id) => void executions.all.delete(id)
  const removed = await server.post('/remove', { token: 'good', id: 'id-1' })
  expect([removed.status, await removed.text()]).toEqual([200, ''])
  expect(await ask(server, '/state')).toMatchObject({ status: 417 })
})
