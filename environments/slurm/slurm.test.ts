import { afterAll, beforeAll } from 'vitest'
import type { PluginContext } from '../../src/environment/plugin.ts'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
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

  describeEnvironment('slurm over slurmrestd', (directory) => {
    const rest = { url: slurm.restUrl, apiVersion: 'v0.0.38', user: 'root' }
    return plugin.create('slurm', plugin.options.parse({ ...how, rest, token }), contextIn(directory, slurm))
  })
})
