import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from '../../test/conformance/until.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startSshHosts, type SshHost, type SshHosts } from '../../test/daemons/ssh-hosts.ts'
import { startTestEngine, type TestEngine } from '../../test/helpers/engine.ts'

const patienceMs = 100_000
let started: SshHosts
let engine: TestEngine

/** Hosts on which the job has begun, once for each time. */
async function begun(): Promise<readonly SshHost[]> {
  const marks = await Promise.all(
    started.hosts.map(async (server) => {
      const { stdout } = await server.run(['sh', '-c', `cat ${server.home}/mark 2> /dev/null || true`])
      return stdout
        .split('\n')
        .filter(Boolean)
        .map(() => server)
    }),
  )
  return marks.flat()
}

async function whenBegun(count: number): Promise<readonly SshHost[]> {
  return until(
    `the job has begun ${count} times`,
    async () => {
      const hosts = await begun()
      return hosts.length >= count ? hosts : undefined
    },
    () => engine.warnings.join('\n'),
    patienceMs,
  )
}

async function openGates(): Promise<void> {
  for (const server of started.hosts) await server.run(['touch', `${server.home}/gate`])
}

function workflow(more: Record<string, unknown>): string {
  const environments = started.hosts.map(({ alias, host, user, port, identityFile, knownHostsFile }) => {
    const account = { host, user, port, identityFile, knownHostsFile }
    const times = { keepAliveMs: 1000, connectTimeoutMs: 3000, idleMs: 20_000 }
    return JSON.stringify({ name: alias, ...account, ...times, slots: 1, ...more })
  })
  const script = 'echo x >> ~/mark; until [ -e ~/gate ]; do sleep 0.1; done; hostname'
  return `
    import { commandTask, display, readStdout, shell, ssh, string } from 'molehill'
    const place = string('place')
    const wait = commandTask('wait', { command: shell\`${script}\`, outputs: [readStdout(place)] })
    export default wait
      .on(${environments.map((options) => `ssh(${options})`).join(', ')})
      .retry({ limit: 1, delayMs: 0 })
      .hook(display())
  `
}

beforeEach(async () => {
  started = await startSshHosts(2)
  engine = await startTestEngine()
})
afterEach(async () => {
  await engine[Symbol.asyncDispose]()
  await started.stop()
})

describeWith('ssh-hosts', 'a host that dies with a running job', () => {
  test('and stays away for longer than it may: the job runs on the other one', async () => {
    const id = await engine.start({ 'workflow.ts': workflow({ lostAfter: '3 s' }) })
    const [dead] = await whenBegun(1)
    await dead!.die()
    await openGates()
    const state = await engine.executions.ended(id, AbortSignal.timeout(patienceMs))
    expect(state.error).toBeUndefined()
    const alive = started.hosts.find((server) => server !== dead)
    expect(await engine.executions.output(id)).toContain(`place = ${alive!.alias}`)
    expect(state.environments.find(({ name }) => name === dead!.alias)).toMatchObject({ done: 0, failed: 1 })
    expect(state.environments.find(({ name }) => name === alive!.alias)).toMatchObject({ done: 1, failed: 0 })
    const [error] = state.environments.flatMap(({ errors }) => errors)
    expect(error?.message).toMatch(/lost the job.*has not answered for 3 s/)
  }, 180_000)

  test('and may stay away: the job waits, and is tried again when the host is back', async () => {
    const id = await engine.start({ 'workflow.ts': workflow({}) })
    const [dead] = await whenBegun(1)
    await dead!.die()
    const told = `${dead!.alias}: it gives no answer`
    await until(
      'the silence is noticed',
      async () => (engine.warnings.some((warning) => warning.includes(told)) ? true : undefined),
      () => engine.warnings.join('\n'),
      patienceMs,
    )
    // Longer than the time after which the other test gives the job up.
    await new Promise((resolve) => setTimeout(resolve, 6000))
    expect(await begun()).toHaveLength(1)
    expect(engine.executions.state(id)).toMatchObject({ state: 'running', counts: { failed: 0 } })
    await dead!.revive()
    await whenBegun(2)
    await openGates()
    const state = await engine.executions.ended(id, AbortSignal.timeout(patienceMs))
    expect(state.error).toBeUndefined()
    expect(state.counts).toMatchObject({ completed: 1, failed: 0 })
    expect(await begun()).toHaveLength(2)
  }, 180_000)
})
