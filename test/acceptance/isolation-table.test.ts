import { execFile } from 'node:child_process'
import { chmod, cp, mkdtemp, readFile, readdir, realpath, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readerView } from '../../src/files/unpack.ts'
import { defaultArchiveLimits } from '../../src/files/archive-limits.ts'
import { boxCommand } from '../../src/isolation/box-command.ts'
import type { BoxView } from '../../src/isolation/isolation.ts'
import { probeIsolation } from '../../src/isolation/probe.ts'
import { scriptView } from '../../src/script/evaluate.ts'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const run = promisify(execFile)
const python = '/usr/bin/python3'
const probes = join(import.meta.dirname, 'system-probes.py')
const kinds = ['archive', 'script', 'function', 'command'] as const
type Found = Readonly<Record<string, string>>

/** A server that requires isolation, with all that a probe could reach. */
interface Stage {
  readonly server: TestServer
  readonly client: RestClient
  readonly token: string
  /** For the probes, as JSON. */
  readonly targets: string
  readonly socket: Server
  readonly scratch: string
}

let stage: Stage
let found: Readonly<Record<(typeof kinds)[number], Found>>
const isRoot = process.geteuid?.() === 0

/** As whom scripts and tasks run; only root can have them run as another than itself. */
const users: readonly { readonly who: string; readonly taskUser?: string }[] = [
  { who: 'the user of the server' },
  ...(isRoot ? [{ who: 'another user', taskUser: 'nobody' }] : []),
]

describe.each(users)('where isolation is required and tasks run as $who', ({ taskUser }) => {
  beforeAll(async () => {
    stage = await setStage(taskUser)
    found = {
      archive: await probeBox((directory) => readerView(directory, defaultArchiveLimits)),
      script: await probeBox(scriptView, taskUser),
      function: await probeTask(
        'functionTask',
        `outputs: [found],
       run: () => ({ found: execFileSync('${python}', ['system-probes.py', targets], { encoding: 'utf8' }) })`,
      ),
      command: await probeTask(
        'commandTask',
        `command: ['${python}', 'system-probes.py', targets], outputs: [readStdout(found)]`,
      ),
    }
  }, 120_000)

  afterAll(async () => {
    await stage.server[Symbol.asyncDispose]()
    await new Promise((resolve) => stage.socket.close(resolve))
    await rm(stage.scratch, { recursive: true, force: true })
  })

  it('no probe of the kernel reaches the server, as the documentation says', async () => {
    const text = await readFile(new URL('../../docs/isolation.md', import.meta.url), 'utf8')
    const documented = readTable(/## Probes\n[^]*?\n\n(\|[^]*?)\n\n/.exec(text)?.[1] ?? '')
    const names = Object.keys(found.command)
    const tried = names.map((name) => [name, ...kinds.map((kind) => describeProbe(found[kind][name]))])
    expect(tried).toEqual(documented)
    expect(tried.flat().filter((cell) => cell === 'reached')).toEqual([])
  })

  it('nothing is left of a function that started programs which leave its group', async () => {
    const word = '98764'
    const state = await runScript(`
      import { functionTask } from 'molehill'
      import { spawn } from 'node:child_process'
      export default functionTask('forks', { run: () => new Promise((resolve) => {
        for (let i = 0; i < 10; i += 1) spawn('setsid', ['sleep', '${word}'], { detached: true, stdio: 'ignore' }).unref()
        setTimeout(() => resolve({}), 300)
      }) })`)
    expect(state).toMatchObject({ state: 'finished' })
    await expect.poll(() => processesThatSay(word), { timeout: 10_000 }).toBe(0)
  })

  it.runIf(taskUser === undefined)('without a box the same probes reach it: they can tell', async () => {
    const targets = JSON.stringify({ ...JSON.parse(stage.targets), isBoxed: false })
    const { stdout } = await run(python, [probes, targets], { timeout: 30_000 })
    const open = Object.entries(JSON.parse(stdout) as Found).flatMap(([name, what]) =>
      what === 'leak' ? [name] : [],
    )
    expect(open).toEqual(
      expect.arrayContaining([
        'password file',
        'read preferences.json',
        'write the state',
        'environment by /proc',
        'memory by /proc',
        'other processes',
        'signal',
        'TCP to its port',
        'abstract socket',
        'its sockets in /proc/net',
        'user namespace',
      ]),
    )
  })
})

async function setStage(taskUser: string | undefined): Promise<Stage> {
  const server = await startTestServer({
    isolation: 'required',
    slots: '2',
    ...(taskUser !== undefined && { taskUser }),
  })
  const client = await createRestClient(server)
  const scratch = await realpath(await mkdtemp(join(tmpdir(), 'molehill-isolation-table-')))
  const socketName = `molehill-isolation-table-${process.pid}`
  const socket = createServer((connection) => connection.destroy())
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.listen(`\0${socketName}`, resolve))
  const keyName = `molehill-${process.pid}`
  await addKey(keyName)
  const started = (await readFile('/proc/self/environ', 'utf8')).split('\0')
  const targets = JSON.stringify({
    isBoxed: true,
    dataDirectory: server.dataDirectory,
    passwordFile: server.configuration.passwordFile,
    pid: process.pid,
    commandLine: 'vitest',
    port: Number(new URL(server.url).port),
    socketName,
    keyName,
    startVariable: started.find((each) => /^(VITEST|TEST|NODE_ENV)/.test(each)) ?? '',
  })
  return { server, client, token: await client.requestToken(password), targets, socket, scratch }
}

/** Puts a secret into the keyring of the server's user, for ten minutes. */
async function addKey(name: string): Promise<void> {
  const add = `
import ctypes, os, sys
kernel = ctypes.CDLL(None)
add, control = {'x86_64': (248, 250), 'aarch64': (217, 219)}[os.uname().machine]
key = kernel.syscall(add, b'user', sys.argv[1].encode(), b'secret', 6, -4)
kernel.syscall(control, 15, key, 600)`
  await run(python, ['-c', add, name])
}

/** Runs the probes in the box of a kind where nobody can start programs: that they cannot is a second fence. */
async function probeBox(
  viewOf: (directory: string) => Omit<BoxView, 'directory'>,
  taskUser?: string,
): Promise<Found> {
  const directory = await mkdtemp(join(stage.scratch, 'box-'))
  await cp(probes, join(directory, 'system-probes.py'))
  await chmod(directory, 0o755)
  const isolation = await probeIsolation('required', process.env, taskUser)
  const { limits: _, ...view } = viewOf(directory)
  const [program = '', ...words] = boxCommand(isolation, [python, 'system-probes.py', stage.targets], {
    ...view,
    directory,
    isSession: true,
  })
  const { stdout } = await run(program, words, { cwd: directory, env: {}, timeout: 30_000 })
  return JSON.parse(stdout) as Found
}

async function probeTask(kind: 'functionTask' | 'commandTask', options: string): Promise<Found> {
  const script = `
    import { ${kind}, display, readStdout, string } from 'molehill'
    import { execFileSync } from 'node:child_process'
    const found = string('found'), targets = ${JSON.stringify(stage.targets)}
    export default ${kind}('look', { ${options} }).hook(display((values) => values.found))`
  const state = await runScript(script, [
    { name: 'system-probes.py', content: await readFile(probes, 'utf8') },
  ])
  expect(state).toMatchObject({ state: 'finished' })
  const { client, token } = stage
  const output = await client.output(token, String(state['id']))
  return JSON.parse(output.trim().split('\n')[0] ?? '') as Found
}

async function runScript(
  content: string,
  files: readonly { readonly name: string; readonly content: string }[] = [],
): Promise<Record<string, unknown>> {
  const { client, token } = stage
  const id = await client.start(token, 'flow.ts', tarGzip([{ name: 'flow.ts', content }, ...files]))
  return { id, ...(await client.awaitEnd(token, id)) }
}

function describeProbe(what: string | undefined): string {
  if (what === undefined) return 'not tried'
  return what === 'leak' ? 'reached' : 'no'
}

function readTable(text: string): string[][] {
  const rows = text.split('\n').map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
  return rows.slice(2)
}

async function processesThatSay(word: string): Promise<number> {
  let count = 0
  for (const pid of await readdir('/proc'))
    if (/^\d+$/.test(pid))
      count += (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(word) ? 1 : 0
  return count
}
