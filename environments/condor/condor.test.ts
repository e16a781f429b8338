import { afterAll, beforeAll } from 'vitest'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { startCondor, type Condor } from '../../test/daemons/condor.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'

const how = { submissionsPerMinute: 60_000, stopGraceMs: 2000 }

describeWith('condor', 'HTCondor', () => {
  let condor: Condor
  let account: SshAccount
  beforeAll(async () => {
    condor = await startCondor()
    account = sshAccount(condor.login)
  }, 60_000)
  afterAll(async () => {
    account.remove()
    await condor.stop()
  })

  describeEnvironment('condor over ssh', (directory) =>
    plugin.create(
      'condor',
      plugin.options.parse({ ...how, ...account.options, workDirectory: account.workDirectory(directory) }),
      {
        directory,
        variables: process.env,
        now: Date.now,
        warn: () => undefined,
      },
    ),
  )
})
