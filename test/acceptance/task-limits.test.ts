import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const mebibyte = 2 ** 20

describe.each(['best-effort', 'required', 'none'])('with isolation %s', (isolation) => {
  let server: TestServer
  let client: RestClient
  let token: string

  beforeAll(async () => {
    server = await startTestServer({
      isolation,
      slots: '2',
      taskMemory: '128M',
      taskOutput: '8M',
      taskFileSize: '64M',
    })
    client = await createRestClient(server)
    token = await client.requestToken(password)
    expect(await run('true')).toBe('')
  }, 60_000)

  afterAll(() => server[Symbol.asyncDispose]())

  it.each([
    ['takes memory without end', 'exec tail -n 1 /dev/zero', /128 MiB of memory \(--task-memory\)/],
    ['prints a gigabyte', 'exec head -c 1G /dev/zero', /printed more than 8 MiB \(--task-output\)/],
    ['prints without end', 'exec yes', /printed more than 8 MiB \(--task-output\)/],
    ['writes a gigabyte', 'exec head -c 1G /dev/zero > large', /at most 64 MiB \(--task-file-size\)/],
  ])(
    'a command that %s fails, and the reason names the limit',
    async (_, command, reason) => {
      const before = await residentBytes()
      expect(await run(command)).toMatch(reason)
      expect((await residentBytes()) - before).toBeLessThan(64 * mebibyte)
      expect(await run('true')).toBe('')
    },
    60_000,
  )

  /** Runs a command, and gives the reason why its execution has failed. */
  async function run(command: string): Promise<string> {
    const script = `
      import { commandTask, shell } from 'molehill'
      export default commandTask('greedy', { command: shell\`${command}\` })`
    const id = await client.start(token, 'flow.ts', tarGzip([{ name: 'flow.ts', content: script }]))
    const { error } = await client.awaitEnd(token, id)
    await client.remove(token, id)
    return error === undefined ? '' : String(Object(error).message)
  }
})

/** The server runs in this process. */
async function residentBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024
}
