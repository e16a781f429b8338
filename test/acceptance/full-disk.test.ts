import { execFileSync } from 'node:child_process'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const slots = 4
let disk: string

// Only root may mount a small disk.
describe.runIf(process.getuid?.() === 0)('while the disk of the data directory is full', () => {
  beforeEach(async () => {
    disk = await mkdtemp(join(tmpdir(), 'molehill-full-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32M', 'none', disk])
  })

  afterEach(async () => {
    execFileSync('umount', ['--lazy', disk])
    await rm(disk, { recursive: true, force: true })
  })

  it('a command that cannot write fails, and the reason names the disk', async () => {
    await using run = await begin('sleep 1; exec head -c 100000 /dev/zero > big')
    await fillDisk()
    await run.untilSomeHaveEnded()
    await rm(join(disk, 'ballast'))
    const state = await run.end()
    expect(state).toMatchObject({
      state: 'failed',
      error: { message: expect.stringMatching(/\(the disk of \/.* is full: /) },
      running: 0,
      environments: [{ running: 0, submitted: 0 }],
    })
  }, 90_000)

  it('jobs whose output cannot be kept are not forgotten', async () => {
    await using run = await begin('echo this is kept in the output; sleep 1')
    await fillDisk()
    await run.untilSomeHaveEnded()
    await rm(join(disk, 'ballast'))
    const state = await run.end()
    expect(state).toMatchObject({ running: 0, environments: [{ running: 0, submitted: 0 }] })
    if (state['state'] === 'failed') expect(JSON.stringify(state['error'])).toMatch(/ENOSPC|full/)
  }, 90_000)
})

interface Running extends AsyncDisposable {
  untilSomeHaveEnded(): Promise<void>
  end(): Promise<Record<string, unknown>>
}

/** Starts a server on the small disk and, in an execution, as many of these commands as there are slots. */
async function begin(command: string): Promise<Running> {
  const server: TestServer = await startTestServer({
    dataDirectory: join(disk, 'data'),
    diskReserve: '0',
    slots: String(slots),
  })
  const client: RestClient = await createRestClient(server)
  const token = await client.requestToken(password)
  const script = `
    import { commandTask, explore, integer, range, shell } from 'molehill'
    const n = integer('n')
    export default explore(range(n, { from: 1, to: ${2 * slots}, step: 1 }),
      commandTask('write', { inputs: [n], command: shell\`${command}\` }))`
  const id = await client.start(token, 'workflow.ts', tarGzip([{ name: 'workflow.ts', content: script }]))
  const local = async () => {
    const { environments } = (await client.post('/state', { token, id })).json
    return environments
  }
  await expect.poll(local, { timeout: 20_000 }).toMatchObject([{ running: slots }])
  return {
    untilSomeHaveEnded: () => expect.poll(local, { timeout: 20_000 }).not.toMatchObject([{ running: slots }]),
    end: () => client.awaitEnd(token, id),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

async function fillDisk(): Promise<void> {
  const ballast = await open(join(disk, 'ballast'), 'w')
  try {
    for (;;) {
      const { bavail, bsize } = await statfs(disk)
      if (bavail === 0) return
      await ballast.write(Buffer.alloc(Math.min(bavail * bsize, 2 ** 20)))
    }
  } finally {
    await ballast.close()
  }
}
