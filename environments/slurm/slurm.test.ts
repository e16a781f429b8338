import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Environment } from '../../src/environment/environment.ts'
import type { PluginContext } from '../../src/environment/plugin.ts'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startNewerSlurm, type NewerSlurm } from '../../test/daemons/newer-slurm.ts'
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

  const make = (directory: string, apiVersion: string) => makeByRest(directory, slurm, token, apiVersion)
  describeEnvironment('slurm over slurmrestd', (directory) => make(directory, 'v0.0.38'))

  // The others that this slurmrestd has.
  test.each(['v0.0.36', 'v0.0.37'])(
    'by %s: a check, exit codes, and the end of one of several jobs',
    (version) => tryJobs((directory) => make(directory, version)),
    120_000,
  )
})

describeWith('newer-slurm', 'Slurm 24.11 through slurmrestd', () => {
  let slurm: NewerSlurm
  beforeAll(async () => {
    slurm = await startNewerSlurm()
  }, 180_000)
  afterAll(() => slurm.stop())

  test.each(['v0.0.40', 'v0.0.41', 'v0.0.42'])(
    'by %s: a check, exit codes, and the end of one of several jobs',
    (version) => tryJobs((directory) => makeByRest(directory, slurm, slurm.token, version)),
    120_000,
  )
})

function makeByRest(
  directory: string,
  { restUrl }: { readonly restUrl: string | undefined },
  token: string,
  apiVersion: string,
): Promise<Environment> {
  const rest = { url: restUrl, apiVersion, user: 'root' }
  const context = { directory, variables: process.env, now: Date.now, warn: () => undefined }
  return plugin.create('slurm', plugin.options.parse({ ...how, rest, token }), context)
}

/** The least that shows that a version's shapes are understood. */
async function tryJobs(make: (directory: string) => Promise<Environment>): Promise<void> {
  const trial = new Trial(make)
  await trial.open()
  try {
    await trial.environment.check(noSignal)
    const scripts = ['exit 0', 'exit 7', 'exec sleep 600', 'exec sleep 600']
    const resources = { wallTimeMs: 600_000 }
    const handles = await trial.submitAll(scripts.map((script) => trial.shell(script, { resources })))
    await trial.waitForRunning(handles[2]!)
    await trial.waitForRunning(handles[3]!)
    await trial.environment.cancel([handles[2]!], noSignal)
    expect(await trial.waitForAll(handles.slice(0, 3))).toMatchObject([
      { kind: 'exited', exitCode: 0 },
      { kind: 'exited', exitCode: 7 },
      { kind: 'stopped', cause: 'cancelled' },
    ])
    expect(await trial.observe(handles[3]!)).toMatchObject({ kind: 'running' })
    const refused = trial.shell('exit 0', { resources: { cpus: 4000 } })
    const outcome = (await trial.environment.submit([refused], noSignal)).get(refused.id)
    expect(outcome).toMatchObject({
      kind: 'rejected',
      reason: expect.stringMatching(/rocessors|node config/),
    })
  } finally {
    await trial.close()
  }
}
