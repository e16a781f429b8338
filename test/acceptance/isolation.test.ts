import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'
import { probesInBash, probesInJavaScript, type ProbeTargets } from './isolation-probes.ts'

const secret = 'planted-d41d8cd98f00'
const harmless = `
  import { functionTask, integer } from 'molehill'
  export default functionTask('one', { outputs: [integer('one')], run: () => ({ one: 1 }) })
`

/** A server with something to steal, and one execution of somebody else. */
class Stage implements AsyncDisposable {
  readonly server: TestServer
  readonly client: RestClient
  readonly token: string
  readonly targets: ProbeTargets
  readonly #socket: Server
  readonly #home: string

  constructor(
    server: TestServer,
    client: RestClient,
    token: string,
    targets: ProbeTargets,
    socket: Server,
    home: string,
  ) {
    this.server = server
    this.client = client
    this.token = token
    this.targets = targets
    this.#socket = socket
    this.#home = home
  }

  /** Posts files; \`workflow.ts\` is the script. */
  async start(files: Readonly<Record<string, string>>): Promise<string> {
    return this.client.start(this.token, 'workflow.ts', pack(files))
  }

  async run(files: Readonly<Record<string, string>>): Promise<Record<string, unknown> & { output: string }> {
    const id = await this.start(files)
    const state = await this.client.awaitEnd(this.token, id)
    return { ...state, output: await this.client.output(this.token, id) }
  }

  /** Why a script is refused. */
  async refusal(script: string): Promise<string> {
    const { status, json } = await this.client.post(
      '/start',
      { token: this.token, script: 'workflow.ts' },
      pack({ 'workflow.ts': script }),
    )
    if (status !== 417) throw new Error(`Expected a refusal, got ${status}.`)
    return String(json.message)
  }

  /** Whether a probe wrote into the data directory. */
  hasPlanted(): boolean {
    return existsSync(join(this.server.dataDirectory, 'planted'))
  }

  async isAlive(): Promise<boolean> {
    const { status } = await this.client.post('/state', {
      token: this.token,
      id: this.targets.otherExecution,
    })
    return status === 200
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]()
    await new Promise((resolve) => this.#socket.close(resolve))
    await rm(this.#home, { recursive: true, force: true })
    delete process.env['MOLEHILL_TEST_SECRET']
  }
}

async function setStage(flags: Readonly<Record<string, unknown>>): Promise<Stage> {
  process.env['MOLEHILL_TEST_SECRET'] = secret
  const server = await startTestServer({ scriptTime: '8s', slots: '2', ...flags })
  const home = await mkdtemp(join(process.cwd(), '.isolation-home-'))
  await writeFile(join(home, 'private'), 'a key')
  const client = await createRestClient(server)
  const token = await client.requestToken(password)
  const socketName = `molehill-isolation-${process.pid}`
  const socket = createServer((connection) => connection.destroy())
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.listen(`\0${socketName}`, resolve))
  const otherExecution = await client.start(
    token,
    'workflow.ts',
    pack({ 'workflow.ts': harmless, 'private.txt': 'mine' }),
  )
  await client.awaitEnd(token, otherExecution)
  // What a process was started with is all that /proc shows.
  const started = (await readFile('/proc/self/environ', 'utf8')).split('\0')
  const targets: ProbeTargets = {
    dataDirectory: server.dataDirectory,
    homeDirectory: home,
    pid: process.pid,
    port: Number(new URL(server.url).port),
    socketName,
    secret,
    startVariable: started.find((each) => /^(VITEST|TEST|NODE_ENV)/.test(each)) ?? '',
    otherExecution,
  }
  return new Stage(server, client, token, targets, socket, home)
}

function pack(files: Readonly<Record<string, string>>): Buffer {
  return tarGzip(Object.entries(files).map(([name, content]) => ({ name, content })))
}

async function probeScript(stage: Stage): Promise<Record<string, string>> {
  const told = await stage.refusal(`
    ${probesInJavaScript(stage.targets)}
    throw new Error('FOUND' + JSON.stringify(found) + 'DNUOF')
  `)
  return JSON.parse(/FOUND(.*)DNUOF/s.exec(told)?.[1] ?? `{"unread": ${JSON.stringify(told)}}`)
}

async function probeFunction(stage: Stage): Promise<Record<string, string>> {
  const { state, output } = await stage.run({
    'workflow.ts': `
      import { display, functionTask, json } from 'molehill'
      const found = json('found')
      async function look() { ${probesInJavaScript(stage.targets)}; return { found } }
      export default functionTask('look', { outputs: [found], run: () => look() })
        .hook(display((values) => JSON.stringify(values.found)))
    `,
  })
  expect(state).toBe('finished')
  return JSON.parse(output)
}

async function probeCommand(stage: Stage): Promise<Record<string, string>> {
  const { state, output } = await stage.run({
    'probes.sh': probesInBash(stage.targets),
    'workflow.ts': `
      import { commandTask, display, readStdout, string } from 'molehill'
      export default commandTask('look', { command: ['bash', 'probes.sh'], outputs: [readStdout(string('found'))] })
        .hook(display((values) => values.found))
    `,
  })
  expect(state).toBe('finished')
  return Object.fromEntries(
    output
      .trim()
      .split('\n')
      .map((line) => line.split('=') as [string, string]),
  )
}

function leaks(found: Readonly<Record<string, string>>): string[] {
  return Object.entries(found).flatMap(([name, what]) => (what === 'leak' ? [name] : []))
}

async function processesThatSay(word: string): Promise<number> {
  let count = 0
  for (const pid of await readdir('/proc'))
    if (/^\d+$/.test(pid))
      count += (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(word) ? 1 : 0
  return count
}

describe('where isolation is required', () => {
  let stage: Stage

  beforeAll(async () => {
    stage = await setStage({ isolation: 'required' })
  }, 60_000)

  afterAll(() => stage[Symbol.asyncDispose]())

  it('nothing reaches the server from a script that is read', async () => {
    const found = await probeScript(stage)
    expect(Object.keys(found).length).toBe(17)
    expect(leaks(found)).toEqual([])
    expect(stage.hasPlanted()).toBe(false)
  })

  it('nothing reaches the server from a function', async () => {
    const found = await probeFunction(stage)
    expect(Object.keys(found).length).toBe(17)
    expect(leaks(found)).toEqual([])
    expect(stage.hasPlanted()).toBe(false)
  })

  it('nothing reaches the server from a command', async () => {
    const found = await probeCommand(stage)
    expect(Object.keys(found).length).toBe(13)
    expect(leaks(found)).toEqual([])
    expect(stage.hasPlanted()).toBe(false)
  })

  it.each([
    ['loops', 'for (;;);', /did not give a workflow within 8000 ms/],
    ['exits', 'process.exit(3)', /ended its own process, with exit code 3/],
    ['eats memory', 'const all = []; for (;;) all.push(Buffer.alloc(2 ** 24, 1))', /memory|ended with/],
    ['floods its output', "for (;;) console.log('x'.repeat(10_000))", /wrote more than/],
    [
      'starts a program',
      "import { execSync } from 'node:child_process'\nexecSync('sleep 100')",
      /Access to this API has been restricted/,
    ],
    [
      'loads native code',
      "process.dlopen({ exports: {} }, '/usr/lib/x86_64-linux-gnu/libc.so.6')",
      /Cannot load native addon/,
    ],
    [
      'writes beside itself',
      "import { writeFileSync } from 'node:fs'\nwriteFileSync('x', 'x')",
      /restricted/,
    ],
  ])('a script that %s is refused, and the server goes on', async (_, script, reason) => {
    expect(await stage.refusal(script)).toMatch(reason)
    expect(await stage.isAlive()).toBe(true)
  })

  it.each([
    ['exits', 'process.exit(3)', /exit|end/i],
    ['kills its process', "process.kill(process.pid, 'SIGKILL')", /took its process down.*SIGKILL/],
    ['eats memory', 'const all = []; for (;;) all.push(Buffer.alloc(2 ** 24, 1))', /memory|process down/],
    ['loops', 'for (;;);', /longer than|within|time/i],
  ])('a function that %s fails its execution, and the server goes on', async (_, body, reason) => {
    const { state, error } = await stage.run({
      'workflow.ts': `
        import { functionTask } from 'molehill'
        export default functionTask('bad', { run: () => { ${body} } }).timeoutMs(${reason.test('time') ? 3000 : 25_000})
      `,
    })
    expect(state).toBe('failed')
    expect(JSON.stringify(error)).toMatch(reason)
    expect(await stage.isAlive()).toBe(true)
  })

  it('a function still works with files, programs and its directory', async () => {
    const { state, output } = await stage.run({
      'data.txt': 'one\n',
      'workflow.ts': `
        import { display, file, functionTask, string } from 'molehill'
        import { execFileSync } from 'node:child_process'
        import { readFileSync, writeFileSync } from 'node:fs'
        const out = file('out'), said = string('said')
        const make = functionTask('make', { outputs: [out], run: (_, job) => {
          writeFileSync(job.directory + '/out.txt', execFileSync('sort', ['-r', 'data.txt']))
          return { out: job.directory + '/out.txt' }
        } })
        const tell = functionTask('tell', { inputs: [out], outputs: [said], run: ({ out }) => ({ said: readFileSync(out, 'utf8') }) })
        export default make.next(tell.hook(display(({ said }) => said)))
      `,
    })
    expect({ state, output: output.trim() }).toEqual({ state: 'finished', output: 'one' })
  })

  it('nothing is left of a command that started programs of its own', async () => {
    const { state } = await stage.run({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('forks', { command: shell\`for n in 1 2 3 4 5 6 7 8 9 10; do setsid sleep 98761 & done; sleep 0.2\` })
      `,
    })
    expect(state).toBe('finished')
    await expect.poll(() => processesThatSay('98761'), { timeout: 5000 }).toBe(0)
  })

  it('a command that takes too long is asked to end, and tells of it', async () => {
    const { state, error } = await stage.run({
      'slow.sh': "trap 'echo asked > asked; exit 4' TERM; sleep 98762 & wait",
      'workflow.ts': `
        import { commandTask } from 'molehill'
        export default commandTask('slow', { command: ['sh', 'slow.sh'] }).timeoutMs(1000)
      `,
    })
    expect(state).toBe('failed')
    expect(JSON.stringify(error)).toMatch(/timeout/)
    await expect.poll(() => processesThatSay('98762'), { timeout: 5000 }).toBe(0)
  })
})

describe('with isolation as best effort', () => {
  it('keeps the secrets of the server apart, but not the network, nor executions from commands', async () => {
    await using stage = await setStage({ isolation: 'best-effort' })
    expect(leaks(await probeScript(stage))).toEqual([])
    expect(leaks(await probeFunction(stage))).toEqual([
      'read the home directory',
      'connect to the server',
      'connect to an abstract socket',
    ])
    expect(leaks(await probeCommand(stage))).toEqual([
      'read-home',
      'read-other',
      'list-executions',
      'connect',
    ])
    expect(stage.hasPlanted()).toBe(false)
  }, 60_000)

  it('ends a command that takes too long, with all it has started in its group', async () => {
    await using stage = await setStage({ isolation: 'best-effort' })
    const { state } = await stage.run({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('slow', { command: shell\`sleep 98763 & sleep 98763\` }).timeoutMs(1000)
      `,
    })
    expect(state).toBe('failed')
    await expect.poll(() => processesThatSay('98763'), { timeout: 5000 }).toBe(0)
  }, 60_000)
})

describe('the network for tasks is an option:', () => {
  it('with it, functions and commands may use it where isolation is required; a script never', async () => {
    await using stage = await setStage({ isolation: 'required', taskNetwork: true })
    expect(leaks(await probeScript(stage))).toEqual([])
    expect(leaks(await probeFunction(stage))).toEqual([
      'connect to the server',
      'connect to an abstract socket',
    ])
    expect(leaks(await probeCommand(stage))).toEqual(['connect'])
  }, 90_000)

  it('without it, nothing may use it with best effort either', async () => {
    await using stage = await setStage({ isolation: 'best-effort', taskNetwork: false })
    expect(leaks(await probeFunction(stage))).toEqual(['read the home directory'])
    expect(leaks(await probeCommand(stage))).toEqual(['read-home', 'read-other', 'list-executions'])
  }, 90_000)
})

describe('without isolation', () => {
  it('everything is reached: the probes can tell', async () => {
    await using stage = await setStage({ isolation: 'none' })
    const found = await probeScript(stage)
    expect(leaks(found)).toEqual(
      expect.arrayContaining([
        'read preferences.json',
        'read private.txt',
        'read environment of server',
        'open memory of server',
        'plant a file',
        'signal the server',
        'see other processes',
        'connect to the server',
        'connect to an abstract socket',
      ]),
    )
    expect(leaks(await probeCommand(stage)).length).toBeGreaterThan(10)
  }, 60_000)
})

describe('without a box', () => {
  it('says so when the server starts and to who asks whether it is ready', async () => {
    const path = process.env['PATH']
    const empty = await mkdtemp(join(tmpdir(), 'molehill-no-box-'))
    process.env['PATH'] = empty
    try {
      await expect(startTestServer({ isolation: 'required' })).rejects.toThrow(/bwrap is not installed/)
      await using server = await startTestServer({ isolation: 'best-effort', http: true })
      expect(server.logged.join('')).toContain('without a box')
      const answer = await fetch(`${server.url}/readyz`)
      expect({ status: answer.status, text: await answer.text() }).toEqual({
        status: 200,
        text: expect.stringContaining('bwrap is not installed'),
      })
    } finally {
      process.env['PATH'] = path
      await rm(empty, { recursive: true, force: true })
    }
  })
})
