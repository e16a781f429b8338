import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startTestServer } from '../../test/helpers/running-server.ts'
import { fakeRequest, understand } from '../../test/helpers/fake-volunteer.ts'
import { fakeTerminal } from '../../test/helpers/fake-terminal.ts'
import { runCommandLine } from '../cli/program.ts'
import { startServer } from '../main.ts'
import { createLog } from '../telemetry/log.ts'

const volunteerUrl = 'http://hub.example/boinc/'

test('a server takes volunteers, beside who submits batches, and knows them after a restart', async () => {
  await using first = await startTestServer({ http: true, volunteers: true, volunteerUrl })
  const get = async (path: string) => (await fetch(`${first.url}/boinc${path}`)).text()
  expect(await get('/')).toContain('<link rel="boinc_scheduler" href="http://hub.example/boinc/scheduler">')
  expect(await get('/submit_rpc_handler.php')).toContain('expected a POST')
  expect(first.logged.join('')).toContain('molehill boinc keys --offline')
  const terminal = fakeTerminal({ variables: {}, currentDirectory: first.dataDirectory })
  const words = ['boinc', 'account', 'add', 'ann', '--json', '--data-directory', first.dataDirectory]
  expect(await runCommandLine(words, terminal)).toBe(0)
  const { key } = JSON.parse(terminal.written.stdout) as { key: string }
  const talk = async (url: string, hostId: number) => {
    const host = { authenticator: key, hostId, sequenceNumber: hostId, name: 'box' }
    const answer = await fetch(`${url}/boinc/scheduler`, {
      method: 'POST',
      body: new Uint8Array(fakeRequest(host)),
    })
    return understand(new Uint8Array(await answer.arrayBuffer()))
  }
  const { hostId = 0 } = await talk(first.url, 0)
  expect(hostId).toBeGreaterThan(0)
  await first.close()
  const audit = await readFile(join(first.dataDirectory, 'audit.log'), 'utf8')
  expect(audit).toMatch(
    /"action":"volunteer-add","outcome":"ok","object":"ann \(1\), by the command line at 1970/,
  )

  const silent = createLog({ level: 'silent', format: 'json', isTerminal: false, now: Date.now })
  const second = await startServer(first.configuration, { log: silent })
  try {
    const again = await talk(second.url, hostId)
    expect([again.hostId, again.text.includes('<user_name>ann</user_name>')]).toEqual([undefined, true])
  } finally {
    await second.close()
  }
})

test('a server that takes no volunteers has no scheduler', async () => {
  await using server = await startTestServer({ http: true })
  expect((await fetch(`${server.url}/boinc/scheduler`, { method: 'POST', body: '' })).status).not.toBe(500)
  expect(await (await fetch(`${server.url}/boinc/`)).text()).not.toContain('boinc_scheduler')
})
