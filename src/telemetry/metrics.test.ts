import { expect, test } from 'vitest'
import { createMetrics } from './metrics.ts'

/** The lines about ourselves, without those about the process. */
async function lines(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  return (await metrics.text())
    .split('\n')
    .filter((line) =>
      /^molehill_(executions|jobs|request|function|environment|audit|queue|disk|volunteer)/.test(line),
    )
}

test('what was recorded is told in the text format', async () => {
  const metrics = createMetrics()
  metrics.executionsInState('running', 3)
  metrics.executionsInState('running', 2)
  metrics.jobsInState('local', 'queued', 7)
  metrics.jobsEnded('local', 'done', 2)
  metrics.jobsEnded('cluster', 'failed', 1)
  metrics.requestEnded({ route: '/state', status: 200, durationMs: 40 })
  const told = await lines(metrics)
  expect(told).toContain('molehill_executions{state="running"} 2')
  expect(told).toContain('molehill_jobs{environment="local",state="queued"} 7')
  expect(told).toContain('molehill_jobs_ended_total{environment="local",outcome="done"} 2')
  expect(told).toContain('molehill_jobs_ended_total{environment="cluster",outcome="failed"} 1')
  expect(told).toContain('molehill_request_duration_seconds_bucket{le="0.025",route="/state",status="200"} 0')
  expect(told).toContain('molehill_request_duration_seconds_bucket{le="0.05",route="/state",status="200"} 1')
  expect(told).toContain('molehill_request_duration_seconds_sum{route="/state",status="200"} 0.04')
  expect(metrics.contentType).toContain('text/plain')
})

test('what went wrong, what was cleared away and what is allowed are told too', async () => {
  const metrics = createMetrics()
  metrics.functionHostLost()
  metrics.executionExpired()
  metrics.auditFailed()
  metrics.volunteerRefusals(3)
  metrics.volunteerRefusals(5)
  metrics.environmentUp('hub', true)
  metrics.environmentUp('cluster', false)
  metrics.limits({ executions: 20, queuedExecutions: 1000, diskReserveBytes: 512 })
  expect(await lines(metrics)).toEqual(
    expect.arrayContaining([
      'molehill_function_host_restarts_total 1',
      'molehill_executions_expired_total 1',
      'molehill_audit_failures_total 1',
      'molehill_volunteer_refusals_total 5',
      'molehill_environment_up{environment="hub"} 1',
      'molehill_environment_up{environment="cluster"} 0',
      'molehill_executions_limit 20',
      'molehill_queue_limit 1000',
      'molehill_disk_reserve_bytes 512',
    ]),
  )
})

test('memory and event-loop lag are told with our prefix, and nothing without it', async () => {
  const metrics = createMetrics()
  const text = await metrics.text()
  expect(text).toContain('molehill_nodejs_eventloop_lag_p99_seconds')
  expect(text).toContain('molehill_process_resident_memory_bytes')
  expect(text.split('\n').filter((line) => line !== '' && !/^(# |molehill_)/.test(line))).toEqual([])
})

test('two servers in one process do not mix', async () => {
  const one = createMetrics()
  const other = createMetrics()
  one.executionsInState('running', 5)
  expect(await lines(one)).toContain('molehill_executions{state="running"} 5')
  expect(await lines(other)).not.toContain('molehill_executions{state="running"} 5')
})

test('names of environments without end make no series without end', async () => {
  const metrics = createMetrics()
  for (let n = 0; n < 1000; n += 1) metrics.jobsEnded(`environment ${n}`, 'done', 1)
  metrics.jobsEnded('environment 0', 'done', 1)
  const told = await lines(metrics)
  expect(told.filter((line) => line.startsWith('molehill_jobs_ended'))).toHaveLength(101)
  expect(told).toContain('molehill_jobs_ended_total{environment="other",outcome="done"} 900')
  expect(told).toContain('molehill_jobs_ended_total{environment="environment 0",outcome="done"} 2')
})
