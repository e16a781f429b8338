import { expect, test } from 'vitest'
import type { AuditEvent } from '../../store/audit-log.ts'
import { createTestApi } from '../../../test/helpers/api-server.ts'
import { createRequestAudit } from './audit-requests.ts'

function start() {
  const events: AuditEvent[] = []
  const clock = { ms: 0 }
  const audit = createRequestAudit({ record: (event) => events.push(event) }, () => clock.ms)
  return { events, clock, audit }
}

test('logins, cancels, removals and refused requests are told; looking is not', async () => {
  await using test = await createTestApi()
  const { events, audit } = start()
  await test.post('/token', { password: 'sesame' })
  await test.post('/token', { password: 'guess17' })
  await test.post('/list', { token: 'good' })
  await test.post('/list', { token: 'bad' })
  await test.post('/cancel', { token: 'good', id: 'nothing' })
  test.observed.forEach(audit)
  const told = events.map(({ action, outcome, object, tokenId }) => ({ action, outcome, object, tokenId }))
  expect(told).toEqual([
    { action: 'login', outcome: 'ok', object: undefined, tokenId: 'good' },
    { action: 'login', outcome: 'password-wrong', object: undefined, tokenId: undefined },
    { action: 'request', outcome: 'token-invalid', object: '/list', tokenId: undefined },
    { action: 'cancel', outcome: 'execution-unknown', object: 'nothing', tokenId: 'good' },
  ])
  expect(events.every(({ requestId }) => requestId !== undefined)).toBe(true)
  expect(JSON.stringify(events)).not.toMatch(/sesame|guess17|bad/)
})

test('a download tells which file of which execution', async () => {
  await using test = await createTestApi()
  const { events, audit } = start()
  await test.post('/download', { token: 'good', id: 'nothing', path: 'results/a.csv' })
  test.observed.forEach(audit)
  expect(events).toMatchObject([
    { action: 'download', outcome: 'execution-unknown', object: 'nothing/results/a.csv', tokenId: 'good' },
  ])
})

test('who is refused again and again does not fill the log', async () => {
  await using test = await createTestApi()
  const { events, clock, audit } = start()
  await test.post('/list', { token: 'bad' })
  const [refused] = test.observed
  if (refused === undefined) throw new Error('nothing was observed')
  for (let n = 0; n < 1000; n += 1) audit(refused)
  expect(events).toHaveLength(20)
  clock.ms += 5000
  audit(refused)
  expect(events.at(-1)?.leftOut).toBe(980)
})
