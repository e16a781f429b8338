import { afterAll, beforeAll } from 'vitest'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { describePilots } from '../../test/conformance/pilots.ts'
import { prefixedHost } from '../../test/conformance/prefixed-host.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { startSge, type Sge } from '../../test/daemons/sge.ts'
import { plugin } from './index.ts'
import { sgeScheduler } from './scheduler.ts'

const how = { submissionsPerMinute: 60_000, stopGraceMs: 2000, queue: 'all.q' }

describeWith('sge', 'SGE', () => {
  let sge: Sge
  let account: SshAccount
  beforeAll(async () => {
    sge = await startSge({ greeting: 'Welcome to the cluster' })
    account = sshAccount(sge.login)
  }, 60_000)
  afterAll(async () => {
    account.remove()
    await sge.stop()
  })

  const contextIn = (directory: string) => ({
    directory,
    variables: process.env,
    now: Date.now,
    warn: () => undefined,
  })

  describeEnvironment('sge', async (directory) => {
    const options = plugin.options.parse(how)
    const host = prefixedHost(sge.prefix)
    return openBatchEnvironment('sge', sgeScheduler(options), options, contextIn(directory), { host })
  })

  describeEnvironment('sge with pilots', async (directory) => {
    const pilots = { count: 2, slots: 2, time: '30 min', idleMs: 1000 }
    const options = plugin.options.parse({ ...how, pilots })
    const host = prefixedHost(sge.prefix)
    return openBatchEnvironment('sge', sgeScheduler(options), options, contextIn(directory), { host })
  })

  describeEnvironment('sge over ssh', (directory) =>
    plugin.create(
      'sge',
      plugin.options.parse({ ...how, ...account.options, workDirectory: account.workDirectory(directory) }),
      contextIn(directory),
    ),
  )

  describePilots('sge', {
    make: async (directory, pilots, watched) => {
      const options = plugin.options.parse({ ...how, pilots })
      const host = watched(prefixedHost(sge.prefix))
      return openBatchEnvironment('sge', sgeScheduler(options), options, contextIn(directory), { host })
    },
    submits: 'qsub',
    running: async () => {
      const list = await runCommand([...sge.prefix, 'qstat', '-u', '*', '-s', 'r'])
      return Array.from(list.matchAll(/^ *(\d+) /gm), ([, id]) => id ?? '')
    },
    cancel: (nativeId) => runCommand([...sge.prefix, 'qdel', nativeId]),
  })
})
