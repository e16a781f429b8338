import { chmod, copyFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findInstallation } from '../../src/cli/installation.ts'
import { untilNoProcessWith } from '../conformance/processes.ts'
import { molehill, openPlayground, type Playground } from '../helpers/command-line.ts'

const { version } = findInstallation()
/** Each command is a process of its own, on a computer that may have other things to do. */
const manyCommandsMs = 120_000

let playground: Playground
beforeEach(async () => {
  playground = await openPlayground()
})
afterEach(() => playground[Symbol.asyncDispose]())

const run = (...words: readonly string[]) => playground.run(molehill, words)

async function writeWork(files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(join(playground.directory, 'work'), { recursive: true })
  for (const [name, content] of Object.entries(files))
    await writeFile(join(playground.directory, 'work', name), content)
}

const double = `import { csv, display, explore, functionTask, integer, range } from 'molehill'
const x = integer('x')
const y = integer('y')
const double = functionTask('double', { inputs: [x], outputs: [y], run: ({ x }) => ({ y: 2 * x }) })
export default explore(range(x, { from: 1, to: 3 }), double.hook(csv('doubles.csv'), display([y])))
`
const failing = `import { commandTask, shell } from 'molehill'
export default commandTask('model', { command: shell\`echo no such parameter >&2; exit 4\` })
`
const slow = `import { explore, functionTask, integer, range } from 'molehill'
const x = integer('x')
const wait = functionTask('wait', {
  inputs: [x],
  run: async () => {
    await new Promise((resolve) => setTimeout(resolve, 60_000))
    return {}
  },
})
export default explore(range(x, { from: 1, to: 100 }), wait)
`

const endless = `import { display, explore, functionTask, integer, range } from 'molehill'
const x = integer('x')
const count = functionTask('count', { inputs: [x], run: () => ({}) }).hook(display([x]))
export default explore(range(x, { from: 1, to: 1_000_000 }), count)
`

describe('the launcher', () => {
  test('starts fast: the version needs none of the large packages', async () => {
    const tell = `import{registerHooks}from'node:module';registerHooks({load(url,context,next){process.stderr.write(url+'\\n');return next(url,context)}})`
    const { exitCode, stdout, stderr } = await playground.run(molehill, ['--version'], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(tell)}`,
    })
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${version}\n` })
    expect(stderr).toContain('node_modules/commander/')
    expect(stderr).not.toMatch(/node_modules\/(?!commander\/)/)
  })

  test('is found through links, as a global installation makes them', async () => {
    const { directory } = playground
    await mkdir(join(directory, 'bin'))
    await symlink(molehill, join(directory, 'bin', 'absolute'))
    await symlink('absolute', join(directory, 'bin', 'relative'))
    expect((await playground.run(join(directory, 'bin', 'relative'), ['--version'])).stdout).toBe(
      `${version}\n`,
    )
  })

  test.each(['node_modules/molehill/node_modules/node', 'node_modules/node'])(
    'takes the Node in %s before that of the PATH',
    async (place) => {
      const root = await layOutPackage()
      await writeProgram(join(playground.directory, place, 'bin', 'node'), 'echo pinned "$@"')
      const { stdout } = await playground.run(join(root, 'bin', 'molehill'), ['list', '--json'])
      expect(stdout).toBe(
        `pinned --max-semi-space-size=1 ${join(root, 'dist', 'src', 'cli', 'main.js')} list --json\n`,
      )
    },
  )

  test.each([
    ['echo 20', /needs Node 24 or newer; the node on the PATH is version 20/],
    ['exit 1', /needs Node 24 or newer, and there is no node on the PATH/],
  ])('refuses a node on the PATH that does `%s`', async (script, message) => {
    const root = await layOutPackage()
    await writeProgram(join(playground.directory, 'old', 'node'), script)
    const { exitCode, stderr } = await playground.run(join(root, 'bin', 'molehill'), ['list'], {
      PATH: `${join(playground.directory, 'old')}:/usr/bin:/bin`,
    })
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(message)
    expect(stderr).toContain('hint: install Node 24 or newer')
  })

  async function layOutPackage(): Promise<string> {
    const root = join(playground.directory, 'node_modules', 'molehill')
    await mkdir(join(root, 'bin'), { recursive: true })
    await copyFile(molehill, join(root, 'bin', 'molehill'))
    return root
  }

  async function writeProgram(path: string, script: string): Promise<void> {
    await mkdir(join(path, '..'), { recursive: true })
    await writeFile(path, `#!/bin/sh\n${script}\n`)
    await chmod(path, 0o755)
  }
})

describe('init and run', () => {
  test('the starter runs as it is, and an editor finds its types', async () => {
    expect((await run('init', 'work')).exitCode).toBe(0)
    expect((await readdir(join(playground.directory, 'work'))).sort()).toEqual([
      'README.md',
      'tsconfig.json',
      'workflow.ts',
    ])
    const tsc = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'tsc')
    expect(await playground.run(tsc, ['-p', 'work'])).toMatchObject({ exitCode: 0, stdout: '' })

    const { exitCode, stdout, stderr } = await run('run', 'work')
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringMatching(/^(1000? steps lead \d+\.\d away\n|10 steps lead \d\.\d away\n){3}$/),
    })
    expect(stderr).toMatch(/walk 150\/150; average 3\/3\nfinished after/)
    const table = await readFile(join(playground.directory, 'work', 'distances.csv'), 'utf8')
    expect(table).toMatch(/^steps,meanDistance\r?\n/)
    expect(await readdir(playground.temporary)).toEqual([])
  })

  test('an editor that checks the starter sees a mistake in it', async () => {
    await run('init', 'work')
    await writeWork({
      'wrong.ts': `import { integer } from 'molehill'\nexport const x: string = integer('x').name.length\n`,
    })
    const tsc = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'tsc')
    expect((await playground.run(tsc, ['-p', 'work'])).stdout).toMatch(
      /^work\/wrong\.ts\(2,14\): error TS2322/,
    )
  })

  test('init overwrites nothing', async () => {
    await writeWork({ 'README.md': 'mine' })
    const { exitCode, stderr } = await run('init', 'work')
    expect(exitCode).toBe(2)
    expect(stderr).toMatch(/README\.md is there already; nothing was changed/)
    expect(await readdir(join(playground.directory, 'work'))).toEqual(['README.md'])
  })

  test('run --json prints one document with counts and output', async () => {
    await writeWork({ 'workflow.ts': double })
    const { exitCode, stdout } = await run('run', 'work', '--slots', '1', '--json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      state: 'finished',
      counts: { ready: 0, running: 0, completed: 3, failed: 0 },
      capsules: [{ name: 'double', completed: 3 }],
      output: expect.stringMatching(/^(y = [246]\n){3}$/),
    })
  })

  test('a failed execution ends with 1 and its first error in full', async () => {
    await writeWork({ 'workflow.ts': failing })
    const { exitCode, stderr } = await run('run', 'work')
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/failed after .*model.*exit code 4.*\n {2}no such parameter\n$/)
  })

  test.each([
    [['run', 'nowhere'], 2, 'There is no directory'],
    [['run', 'work', '--script', 'none.ts'], 2, "script doesn't exist"],
    [['run', 'work', '--script', 'number.ts'], 3, 'number.ts: '],
    [['validate', 'work', '--script', 'number.ts'], 3, 'number.ts: '],
  ])('%j ends with %d', async (words, exitCode, message) => {
    await writeWork({ 'number.ts': 'export default 3\n' })
    expect(await run(...words)).toMatchObject({
      exitCode,
      stdout: '',
      stderr: expect.stringMatching(new RegExp(`^error: .*${message}`)),
    })
    expect(await readdir(playground.temporary)).toEqual([])
  })

  test('validate shows the workflow and runs nothing', async () => {
    await writeWork({ 'workflow.ts': double })
    expect(await run('validate', 'work')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/\ndouble +function +x +y +local\n$/),
    })
    expect(JSON.parse((await run('validate', 'work', '--json')).stdout)).toMatchObject({ version: 1 })
    expect(await readdir(join(playground.directory, 'work'))).toEqual(['workflow.ts'])
  })

  test('Ctrl-C stops the execution and cleans up', async () => {
    await writeWork({ 'workflow.ts': slow })
    const running = playground.start(molehill, ['run', 'work'])
    await running.shows(/wait 0\/100, \d+ running/)
    process.kill(running.pid, 'SIGINT')
    const { exitCode, stderr } = await running.ended
    expect(exitCode).toBe(130)
    expect(stderr).toMatch(/Stopping the execution\. Press Ctrl-C again.*\n(.*\n)?Stopped\.\n$/)
    await untilNoProcessWith(`TMPDIR=${playground.temporary}`)
    expect(await readdir(playground.temporary)).toEqual([])
  })

  test('a reader that has seen enough stops the execution', async () => {
    await writeWork({ 'workflow.ts': endless })
    const { stdout, stderr } = await playground.run('sh', ['-c', `${molehill} run work | head -1`])
    expect(stdout).toMatch(/^x = \d+\n$/)
    expect(stderr).toMatch(/Stopped\.\n$/)
    await untilNoProcessWith(`TMPDIR=${playground.temporary}`)
    expect(await readdir(playground.temporary)).toEqual([])
  })

  test('a second Ctrl-C leaves at once, and no process stays behind', async () => {
    await writeWork({ 'workflow.ts': slow })
    const running = playground.start(molehill, ['run', 'work'])
    await running.shows(/wait 0\/100, \d+ running/)
    process.kill(running.pid, 'SIGINT')
    process.kill(running.pid, 'SIGTERM')
    const { exitCode, stderr } = await running.ended
    expect([130, 143]).toContain(exitCode)
    expect(stderr).toContain('Left at once.')
    await untilNoProcessWith(`TMPDIR=${playground.temporary}`)
  })
})

describe('serve and the commands that speak to a server', () => {
  test('from the login to the files, and a clean stop', { timeout: manyCommandsMs }, async () => {
    const { directory } = playground
    await writeWork({ 'workflow.ts': double, 'failing.ts': failing, 'slow.ts': slow })
    const password = join(directory, 'password')
    await writeFile(password, 'sesame of the hills\n', { mode: 0o600 })
    const data = join(directory, 'data')
    const serve = `serve --port 0 --data-directory ${data} --password-file ${password}`
    const server = playground.start(molehill, serve.split(' '))
    const [, url = ''] = await server.shows(/"address":"(https:[^"]*)"/)
    const [, fingerprint = ''] = await server.shows(/"fingerprint":"([^"]*)"/)

    const login = await run('token', '--server', url, '--password-file', password)
    expect(login).toMatchObject({ exitCode: 0, stdout: '', stderr: expect.stringContaining(fingerprint) })

    const followed = await run('start', 'work', '--follow')
    expect(followed).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^(y = [246]\n){3}$/),
      stderr: expect.stringMatching(/double 3\/3\nfinished\n/),
    })
    const [{ id }] = JSON.parse((await run('list', '--json')).stdout)
    const table = await run('download', id, 'doubles.csv', '-o', '-')
    expect(table.stdout.split(/\r?\n/).sort()).toEqual(['', '1,2', '2,4', '3,6', 'x,y'])
    expect((await run('download', id, '--extract', 'results')).exitCode).toBe(0)
    expect(await readdir(join(directory, 'results'))).toContain('doubles.csv')

    expect(await run('start', 'work', '--script', 'failing.ts', '--follow')).toMatchObject({
      exitCode: 6,
      stderr: expect.stringMatching(/failed: model.*exit code 4/),
    })
    const slowId = (await run('start', 'work', '--script', 'slow.ts')).stdout.trim()
    const watching = playground.start(molehill, ['state', slowId, '--follow'])
    await watching.shows(/wait 0\/100/)
    process.kill(watching.pid, 'SIGINT')
    expect(await watching.ended).toMatchObject({ exitCode: 130, stderr: expect.stringContaining('goes on') })
    expect(JSON.parse((await run('state', slowId, '--json')).stdout)).toMatchObject({ state: 'running' })
    expect((await run('cancel', slowId)).exitCode).toBe(0)
    expect(JSON.parse((await run('state', slowId, '--json')).stdout)).toMatchObject({ state: 'failed' })

    expect((await run('remove', id)).exitCode).toBe(0)
    expect(await run('state', id)).toMatchObject({ exitCode: 2 })

    process.kill(server.pid, 'SIGTERM')
    expect(await server.ended).toMatchObject({ exitCode: 0 })
    expect(await run('list')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(
        /^error: The server .* cannot be reached: nothing listens there\.\nhint: /,
      ),
    })
  })

  test('password changes the password of a stopped server', async () => {
    const { directory } = playground
    const [first, second, data] = ['first', 'second', 'data'].map((name) => join(directory, name))
    if (first === undefined || second === undefined || data === undefined) throw new Error('three names')
    await writeFile(first, 'one\n', { mode: 0o600 })
    await writeFile(second, 'two\n', { mode: 0o600 })
    for (const file of [first, second])
      expect(await run('password', '--data-directory', data, '--password-file', file)).toMatchObject({
        exitCode: 0,
      })
    expect(
      await run('serve', '--port', '0', '--data-directory', data, '--password-file', first),
    ).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^error: The password does not match/),
    })
    expect(await run('password', '--data-directory', data)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--password-file'),
    })
  })

  test('serve without a terminal and without a password says what to do', async () => {
    const { exitCode, stderr } = await run(
      'serve',
      '--port',
      '0',
      '--data-directory',
      join(playground.directory, 'data'),
    )
    expect(exitCode).toBe(2)
    expect(stderr).toMatch(/^error: No password is set yet.*\nhint: .*--password-file/m)
  })
})
