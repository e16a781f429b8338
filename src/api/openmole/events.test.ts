import { expect, test } from 'vitest'
import { createTestApi } from '../../../test/helpers/api-server.ts'

test('events come as they happen, go on after the last one known, and end when the server stops', async () => {
  await using server = await createTestApi()
  const counts = { ready: 0, running: 0, completed: 0, failed: 0 }
  const summary = {
    id: 'id-1',
    owner: '',
    labels: {},
    name: '',
    script: '',
    state: 'running',
    isCancelled: false,
  } as const
  server.executions.all.set('id-1', {
    state: { ...summary, startedAt: 0, endedAt: null, counts, capsules: [], environments: [] },
    output: '',
    jobs: [],
    workDirectory: server.directory,
  })
  const answer = await server.post('/events', { token: 'good', id: 'id-1' }, { 'last-event-id': '6' })
  expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  expect(answer.headers.get('cache-control')).toBe('no-store, no-transform')
  setTimeout(() => server.stop(), 50)
  expect(await answer.text()).toBe('retry: 2000\n\nid: 7\nevent: started\ndata: {"time":5}\n\n')
})
