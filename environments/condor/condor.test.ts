import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, vi } from 'vitest'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { describePilots } from '../../test/conformance/pilots.ts'
import { prefixedHost } from '../../test/conformance/prefixed-host.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { startCondor, type Condor } from '../../test/daemons/condor.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { plugin } from './index.ts'
import { condorScheduler } from './scheduler.ts'

const how = { submissionsPerMinute: 60_000, stopGraceMs: 2000 }

describeWith('condor', 'HTCondor', () => {
  let condor: Condor
  let account: SshAccount
  let lent: string
  beforeAll(async () => {
    condor = await startCondor()
    account = sshAccount(condor.login)
    lent = mkdtempSync(join(tmpdir(), 'molehill-test-condor-'))
    await condor.lend(lent)
    // Where trials have their files.
    vi.stubEnv('TMPDIR', lent)
  }, 120_000)
  afterAll(async () => {
    vi.unstubAllEnvs()
    account.remove()
    await condor.stop()
    rmSync(lent, { recursive: true, force: true })
  })

  const contextIn = (directory: string) => ({
    directory,
    variables: process.env,
    now: Date.now,
    warn: () => undefined,
  })

  describeEnvironment('condor', async (directory) => {
    const options = plugin.options.parse(how)
    const host = prefixedHost(condor.prefix)
    return openBatchEnvironment('condor', condorScheduler(options), options, contextIn(directory), { host })
  })

  describeEnvironment('condor over ssh', (directory) =>
    plugin.create(
      'condor',
      plugin.options.parse({ ...how, ...account.options, workDirectory: account.workDirectory(directory) }),
      contextIn(directory),
    ),
  )

  describePilots('condor', {
    make: async (directory, pilots, watched) => {
      const options = plugin.options.parse({ ...how, pilots })
      const host = watched(prefixedHost(condor.prefix))
      return openBatchEnvironment('condor', condorScheduler(options), options, contextIn(directory), { host })
    },
    submits: 'condor_submit',
    running: async () => {
      const command = ['condor_q', '-constraint', 'JobStatus == 2', '-af', 'ClusterId']
      return (await runCommand([...condor.prefix, ...command])).split('\n').filter(Boolean)
    },
    cancel: (nativeId) => runCommand([...condor.prefix, 'condor_rm', nativeId]),
  })
})
