import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadTls } from '../../src/api/tls.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { BoincClient } from '../../test/daemons/boinc.ts'
import { startBoincProject, type BoincProject } from '../../test/daemons/boinc-project.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'

const patienceMs = 300_000

describeWith('boinc', 'a real BOINC client over HTTPS, where the server has a certificate of its own', () => {
  let project: BoincProject
  let trial: Trial
  let certificate: string
  const clients: BoincClient[] = []
  beforeAll(async () => {
    trial = new Trial(
      (directory) =>
        plugin.create('boinc', plugin.options.parse({ by: 1 }), {
          directory,
          variables: {},
          volunteers: project.volunteers,
          now: Date.now,
          warn: () => undefined,
        }),
      patienceMs,
    )
    const tls = await loadTls({
      certFile: undefined,
      keyFile: undefined,
      directory: join(trial.directory, 'tls'),
      hostname: 'localhost',
      now: Date.now,
      writeDurably: (path, content) => writeFile(path, content),
    })
    certificate = tls.cert
    project = await startBoincProject(tls)
    await trial.open()
  }, 180_000)
  afterAll(async () => {
    await trial?.close()
    await Promise.all(clients.map(async (client) => client.stop()))
    await project?.[Symbol.asyncDispose]()
  }, 180_000)

  async function attach(name: string, authorities?: string): Promise<BoincClient> {
    const client = await BoincClient.start({
      testUrl: project.url,
      ...(authorities !== undefined && { authorities }),
    })
    clients.push(client)
    await client.attach(project.url, project.key(name))
    return client
  }

  test(
    'it trusts what ca-bundle.crt of its data directory says, and nothing without',
    { timeout: 2 * patienceMs },
    async () => {
      const stranger = await attach('bob')
      const friend = await attach('ann', certificate)
      const handle = await trial.submit(
        trial.shell('echo computed >out; exit 7', { outputs: [{ path: 'out' }] }),
      )
      await friend.update(project.url)
      expect(await trial.waitForEnd(handle), await friend.log()).toMatchObject({
        kind: 'exited',
        exitCode: 7,
      })
      expect(String((await trial.collect(handle)).read('out'))).toBe('computed\n')
      await trial.environment.release([handle], noSignal)
      const refused = /certificate|SSL|couldn't get|Peer/i
      await until(
        'the other client refuses the certificate',
        async () => refused.test(await stranger.log()) || undefined,
        async () => stranger.log(),
        patienceMs,
      )
      const volunteers = (await project.volunteers.hosts(10)).map(({ volunteer }) => volunteer)
      expect(volunteers).toEqual(['ann'])
    },
  )
})
