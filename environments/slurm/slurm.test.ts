import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PluginContext } from '../../src/environment/plugin.ts'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startSlurm, type Slurm } from '../../test/daemons/slurm.ts'
import { startSshd, type Sshd } from '../../test/daemons/sshd.ts'
import { plugin } from './index.ts'

const how = { submissionsPerMinute: 60_000, stopGraceMs: 2000, partition: 'main', memory: '20 MB' }

function contextIn(directory: string, slurm: Slurm): PluginContext {
  return {
    directory,
    variables: { ...process.env, ...slurm.variables },
    now: Date.now,
    warn: () => undefined,
  }
}

describeWith('slurm', 'Slurm by its commands', () => {
  let slurm: Slurm
  beforeAll(async () => {
    slurm = await startSlurm()
  }, 60_000)
  afterAll(() => slurm.stop())

  describeEnvironment('slurm', (directory) =>
    plugin.create('slurm', plugin.options.parse(how), contextIn(directory, slurm)),
  )
})

describeWith(['slurm', 'sshd'], 'Slurm over SSH', () => {
  let slurm: Slurm
  let server: Sshd
  let account: SshAccount
  beforeAll(async () => {
    slurm = await startSlurm()
    server = await startSshd({ greeting: 'Welcome to the cluster', variables: slurm.variables })
    account = sshAccount(server)
  }, 60_000)
  afterAll(async () => {
    account.remove()
    await server.stop()
    await slurm.stop()
  })

  describeEnvironment('slurm over ssh', (directory) =>
    plugin.create(
      'slurm',
      plugin.options.parse({ ...how, ...account.options, workDirectory: account.workDirectory(directory) }),
      contextIn(directory, slurm),
    ),
  )
})

describeWith('slurm', 'Slurm with pilots', () => {
  let slurm: Slurm
  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 2, cpusPerNode: 2 })
  }, 60_000)
  afterAll(() => slurm.stop())

  const pilots = { count: 2, slots: 2, time: '30 min', idleMs: 1000 }
  describeEnvironment('slurm with pilots', (directory) =>
    plugin.create('slurm', plugin.options.parse({ ...how, pilots }), contextIn(directory, slurm)),
  )
})

describeWith('slurmrestd', 'Slurm through slurmrestd', () => {
  let slurm: Slurm
  let token: string
  beforeAll(async () => {
    slurm = await startSlurm({ restd: true })
    token = await slurm.token('root')
  }, 60_000)
  afterAll(() => slurm.stop())

  const make = (directory: string, apiVersion: string) => {
    const rest = { url: slurm.restUrl, apiVersion, user: 'root' }
    return plugin.create('slurm', plugin.options.parse({ ...how, rest, token }), contextIn(directory, slurm))
  }
  describeEnvironment('slurm over slurmrestd', (directory) => make(directory, 'v0.0.38'))

  // The others that this slurmrestd has.
  test.each(['v0.0.36', 'v0.0.37'])(
    'by %s: a check, exit codes, and the end of one of several jobs',
    async (version) => {
      const trial = new Trial((directory) => make(directory, version))
      await trial.open()
      try {
        await trial.environment.check(noSignal)
        const scripts = ['exit 0', 'exit 7', 'exec sleep 600', 'exec sleep 600']
        const handles = await trial.submitAll(scripts.map((script) => trial.shell(script)))
        await trial.waitForRunning(handles[2]!)
        await trial.waitForRunning(handles[3]!)
        await trial.environment.cancel([handles[2]!], noSignal)
        expect(await trial.waitForAll(handles.slice(0, 3))).toMatchObject([
          { kind: 'exited', exitCode: 0 },
          { kind: 'exited', exitCode: 7 },
          { kind: 'stopped', cause: 'cancelled' },
        ])
        expect(await trial.observe(handles[3]!)).toMatchObject({ kind: 'running' })
      } finally {
        await trial.close()
      }
    },
    120_000,
  )
})
