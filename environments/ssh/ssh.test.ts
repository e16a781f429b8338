import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startSshd, type Sshd } from '../../test/daemons/sshd.ts'
import { plugin } from './index.ts'

describeWith('sshd', 'jobs behind SSH', () => {
  let server: Sshd
  let configFile: string
  beforeAll(async () => {
    server = await startSshd({
      greeting: 'Welcome to the cluster',
      configuration: ['AllowUsers root', 'PermitRootLogin yes'],
    })
    // Where files are shared, the jobs' user is the server's.
    copyFileSync(server.authorizedKeysFile, join(dirname(server.authorizedKeysFile), 'root'))
    configFile = join(mkdtempSync(join(tmpdir(), 'molehill-test-ssh-')), 'config')
    writeFileSync(configFile, '')
  })
  afterAll(async () => {
    rmSync(dirname(configFile), { recursive: true, force: true })
    await server.stop()
  })

  for (const sharesFiles of [false, true])
    describeEnvironment(sharesFiles ? 'ssh with shared files' : 'ssh', (directory) => {
      const { host, user, port, identityFile, knownHostsFile } = server
      const account = {
        host,
        user: sharesFiles ? 'root' : user,
        port,
        identityFile,
        knownHostsFile,
        configFile,
      }
      const how = { slots: 2, stopGraceMs: 2000, idleMs: 5000, sharesFiles }
      return plugin.create('ssh', plugin.options.parse({ ...account, ...how }), {
        directory,
        variables: process.env,
        now: Date.now,
        warn: () => undefined,
      })
    })
})
