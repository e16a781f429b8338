import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { lstat, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Executions } from '../../src/engine/contract.ts'
import { createExecutions } from '../../src/engine/executions.ts'
import { probeIsolation } from '../../src/isolation/probe.ts'
import { runCommandLine } from '../../src/cli/program.ts'
import { fakeTerminal } from '../helpers/fake-terminal.ts'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const user = 'nobody'
const isRoot = process.geteuid?.() === 0
const serverProcess = new URL('../helpers/task-user-server.ts', import.meta.url).pathname

interface Stage {
  readonly server: TestServer
  readonly client: RestClient
  readonly token: string
}

function pack(files: Readonly<Record<string, string>>): Buffer {
  return tarGzip(Object.entries(files).map(([name, content]) => ({ name, content })))
}

async function processesThatSay(word: string): Promise<number> {
  let count = 0
  for (const pid of await readdir('/proc'))
    if (/^\d+$/.test(pid))
      count += (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(word) ? 1 : 0
  return count
}

/** The number of the user and of the group, from the list of users. */
async function readAccount(): Promise<string> {
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((each) => each.startsWith(`${user}:`))
  return line?.split(':').slice(2, 4).join(' ') ?? ''
}

describe.runIf(isRoot)('tasks of a server that root starts with a lower user (only root can try it)', () => {
  let stage: Stage
  let account: string
  let scratch: string

  beforeAll(async () => {
    account = await readAccount()
    scratch = await mkdtemp(join(tmpdir(), 'molehill-task-user-'))
    const server = await startTestServer({ isolation: 'required', taskUser: user, slots: '2' })
    const client = await createRestClient(server)
    stage = { server, client, token: await client.requestToken(password) }
  }, 60_000)

  afterAll(async () => {
    await stage.server[Symbol.asyncDispose]()
    await rm(scratch, { recursive: true, force: true })
  })

  async function run(files: Readonly<Record<string, string>>) {
    const { client, token } = stage
    const id = await client.start(token, 'workflow.ts', pack(files))
    const end = await client.awaitEnd(token, id)
    const own = join(stage.server.dataDirectory, 'executions', id)
    return {
      id,
      state: end['state'],
      error: end['error'],
      output: (await client.output(token, id)).trim(),
      own,
    }
  }

  /** A workflow of one command: what it prints is the output. */
  const commandFlow = (options: string): string => `
    import { commandTask, shell } from 'molehill'
    export default commandTask('one', { ${options} })`

  it('is told in the log', () => {
    expect(stage.server.logged.join('')).toContain(`Scripts and tasks run as the user ${user}.`)
  })

  it('a script is read as that user', async () => {
    const { json } = await stage.client.post(
      '/start',
      { token: stage.token, script: 'workflow.ts' },
      pack({
        'workflow.ts':
          'throw new Error(`I am ${process.getuid()} ${process.getgid()} ${process.getgroups()}.`)',
      }),
    )
    expect(json.message).toContain(`I am ${account} ${account.split(' ')[1]}.`)
  })

  it('a function runs as that user, and writes into the work directory and its own', async () => {
    const { state, error, output, own } = await run({
      'workflow.ts': `
        import { commandTask, copyFile, csv, display, file, functionTask, readStdout, shell, string } from 'molehill'
        import { execFileSync } from 'node:child_process'
        import { writeFileSync } from 'node:fs'
        const who = string('who'), made = file('made'), back = string('back')
        const one = functionTask('one', { outputs: [who, made], run: (_, job) => {
          writeFileSync('beside.txt', 'b')
          writeFileSync(job.directory + '/made.txt', 'made')
          return { who: execFileSync('sh', ['-c', 'id -u; id -g; id -G; echo $HOME $USER'], { encoding: 'utf8' }), made: job.directory + '/made.txt' }
        } }).hook(display(({ who }) => who), csv('out/rows.csv', { values: [who] }), copyFile(made, 'kept.txt'))
        const two = commandTask('two', { inputs: [made], command: shell\`cat \${made}; echo more >> beside.txt\`})
        export default one.next(two)`,
    })
    expect({ state, error }).toEqual({ state: 'finished', error: undefined })
    const [uid, gid] = account.split(' ')
    expect(output.split('\n')).toEqual([uid, gid, gid, `/tmp ${user}`, 'made'])
    for (const name of ['beside.txt', 'out', 'out/rows.csv', 'kept.txt'])
      expect([name, (await lstat(join(own, 'work', name))).uid]).toEqual([name, Number(uid)])
    expect(await readFile(join(own, 'work/kept.txt'), 'utf8')).toBe('made')
    expect(await readFile(join(own, 'work/beside.txt'), 'utf8')).toBe('bmore\n')
  }, 60_000)

  it('a command runs as that user, alone and in a group, and its results are kept, downloaded and removed', async () => {
    const { client, token } = stage
    const { state, error, output, own, id } = await run({
      'data.txt': 'before',
      'workflow.ts': `
        import { commandTask, copyFile, display, explore, file, integer, keepFile, range, readStdout, shell, string, text } from 'molehill'
        const n = integer('n'), who = string('who'), made = file('made')
        const alone = commandTask('alone', { inputs: [n], command: shell\`id -u; echo $HOME > /dev/stderr; echo x >> data.txt; echo \${n} > made; chmod 600 made\`,
          outputs: [readStdout(who), keepFile(made, 'made')] })
          .hook(copyFile(made, text\`made-\${n}\`))
        const grouped = commandTask('grouped', { inputs: [n, made], command: shell\`id -u; cat \${made}\` }).by(2)
        export default explore(range(n, { from: 1, to: 2 }), alone.next(grouped))`,
    })
    expect({ state, error }).toEqual({ state: 'finished', error: undefined })
    const [uid = ''] = account.split(' ')
    const lines = output.split('\n').filter((line) => line !== '/tmp' && line !== '')
    expect(lines.toSorted()).toEqual(['1', '2', uid, uid, uid, uid])
    expect(await readFile(join(own, 'work/data.txt'), 'utf8')).toBe('beforex\nx\n')
    const downloaded = await client.post('/download', { token, id, path: 'made-2' })
    expect(downloaded.text).toBe('2\n')
    await client.remove(token, id)
    expect(existsSync(own)).toBe(false)
  }, 60_000)

  it('nothing of the server can be read or written, nor of another execution', async () => {
    const other = await run({ 'workflow.ts': commandFlow('command: shell`echo 1`'), 'private.txt': 'mine' })
    const { dataDirectory, configuration } = stage.server
    const places = [
      configuration.passwordFile,
      join(dataDirectory, 'preferences.json'),
      join(dataDirectory, 'molehill.db'),
      join(other.own, 'journal.db'),
      join(other.own, 'work/private.txt'),
      '/etc/shadow',
    ]
    const { state, output } = await run({
      'workflow.ts': commandFlow(`command: ['sh', 'try.sh']`),
      'try.sh': [
        ...places.map((path) => `cat ${path} 2>/dev/null && echo read ${path}`),
        `ls ${dataDirectory}/executions | wc -l`,
        ...[
          dataDirectory,
          `${dataDirectory}/executions`,
          '/etc',
          '/usr/bin',
          '..',
          '/',
          '/proc/sys/kernel',
        ].map((path) => `echo x 2>/dev/null > ${path}/planted && echo wrote ${path}`),
        'cat journal.db ../journal.db 2>/dev/null && echo read the journal',
        'unshare -U true 2>/dev/null && echo made a namespace',
        'echo 1 2>/dev/null > /proc/sys/user/max_user_namespaces && echo changed the kernel',
        'true',
      ].join('\n'),
    })
    expect({ state, output }).toEqual({ state: 'finished', output: '1' })
  }, 60_000)

  it('variables of a command are no orders to what makes its box', async () => {
    const trace = join(scratch, 'trace')
    const { state, error } = await run({
      'workflow.ts': commandFlow(
        `command: ['true'], env: { LD_DEBUG: 'files', LD_DEBUG_OUTPUT: ${JSON.stringify(trace)} }`,
      ),
    })
    expect({ state, error }).toEqual({ state: 'finished', error: undefined })
    expect(await readdir(scratch)).toEqual([])
  })

  it('nothing is left of a command that is cancelled', async () => {
    const { client, token } = stage
    const id = await client.start(
      token,
      'workflow.ts',
      pack({ 'workflow.ts': commandFlow("command: shell`trap '' TERM; setsid sleep 98771 & sleep 98771`") }),
    )
    await expect.poll(() => processesThatSay('98771'), { timeout: 20_000 }).toBeGreaterThan(1)
    await client.post('/cancel', { token, id })
    await expect.poll(() => processesThatSay('98771'), { timeout: 20_000 }).toBe(0)
  }, 60_000)

  it('nothing is left of commands and functions when the server is killed', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-task-user-'))
    await writeFile(join(directory, 'password'), `${password}\n`, { mode: 0o600 })
    const child = spawn(process.execPath, ['--no-warnings', serverProcess, directory, user], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exit = once(child, 'exit')
    try {
      const [url] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
      const client = await createRestClient({ url: url.trim(), dataDirectory: join(directory, 'data') })
      const token = await client.requestToken(password)
      await client.start(
        token,
        'workflow.ts',
        pack({ 'workflow.ts': commandFlow('command: shell`setsid sleep 98772 & sleep 98772`') }),
      )
      await client.start(
        token,
        'workflow.ts',
        pack({
          'workflow.ts': `
            import { functionTask } from 'molehill'
            import { execFileSync } from 'node:child_process'
            export default functionTask('f', { run: () => { execFileSync('sleep', ['98773']) } })`,
        }),
      )
      await expect.poll(() => processesThatSay('98772'), { timeout: 30_000 }).toBeGreaterThan(1)
      await expect.poll(() => processesThatSay('98773'), { timeout: 30_000 }).toBeGreaterThan(0)
    } finally {
      child.kill('SIGKILL')
      await exit
    }
    await expect.poll(() => processesThatSay('98772'), { timeout: 20_000 }).toBe(0)
    await expect.poll(() => processesThatSay('98773'), { timeout: 20_000 }).toBe(0)
    await rm(directory, { recursive: true, force: true })
  }, 120_000)
})

it.runIf(isRoot)(
  'an execution that goes on changes hands with the option (only root can try it)',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-task-user-'))
    const open = async (name?: string): Promise<Executions> =>
      createExecutions({
        dataDirectory: directory,
        slots: 1,
        scriptTimeMs: 30_000,
        scriptMemoryBytes: 2 ** 29,
        outputBytes: 2 ** 20,
        isolation: await probeIsolation('required', process.env, name),
        variables: process.env,
        now: Date.now,
        warn: () => undefined,
      })
    let engine = await open()
    try {
      const id = await engine.start({
        script: 'workflow.ts',
        signal: AbortSignal.timeout(60_000),
        async fill(work) {
          await mkdir(work)
          await writeFile(join(work, 'who'), '')
          await writeFile(
            join(work, 'workflow.ts'),
            `import { commandTask, shell } from 'molehill'
           export default commandTask('one', { command: shell\`id -u >> who; sleep 98774\` })`,
          )
        },
      })
      const who = async (): Promise<string> =>
        readFile(join(directory, 'executions', id, 'work', 'who'), 'utf8')
      await expect.poll(who, { timeout: 30_000 }).toBe('0\n')
      await engine.close()
      engine = await open(user)
      const [userId = ''] = (await readAccount()).split(' ')
      await expect.poll(who, { timeout: 30_000 }).toBe(`0\n${userId}\n`)
      await engine.close()
      engine = await open()
      await expect.poll(who, { timeout: 30_000 }).toBe(`0\n${userId}\n0\n`)
      await engine.remove(id)
      expect(await readdir(join(directory, 'executions'))).toEqual([])
    } finally {
      await engine.close()
      await rm(directory, { recursive: true, force: true })
    }
  },
  120_000,
)

it('without a server, another user for tasks is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-task-user-'))
  try {
    await writeFile(join(directory, 'workflow.ts'), '')
    const variables = { PATH: process.env['PATH'] ?? '', HOME: directory, MOLEHILL_TASK_USER: user }
    const terminal = fakeTerminal({ variables })
    expect(await runCommandLine(['run', directory], terminal)).not.toBe(0)
    expect(terminal.written.stderr).toMatch(/its tasks cannot run as another user.*\n?.*Unset taskUser/s)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
