import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readEnd } from '../../../src/environment/job-files/job-script.ts'
import { commandText } from './command-text.ts'
import { placesBelow } from './places.ts'
import { startScript } from './start-script.ts'

const waitMs = 30_000

function onPath(program: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/bin', '/usr/bin']
  return directories.map((directory) => join(directory, program)).find((path) => existsSync(path))
}

/** Stands in for busybox where there is none: the programs of this computer, and dash as its shell. */
const standIn = (dash: string) => `#!${dash}
case $1 in sh) shift; exec ${dash} "$@" ;; esac
exec "$@"
`

interface Shell {
  readonly name: string
  readonly install: (path: string) => void
}

const busybox = onPath('busybox')
const dash = onPath('dash')
const shells: Shell[] = []
if (busybox !== undefined) shells.push({ name: 'busybox sh', install: (path) => symlinkSync(busybox, path) })
if (dash !== undefined)
  shells.push({
    name: 'dash instead of busybox',
    install: (path) => writeFileSync(path, standIn(dash), { mode: 0o755 }),
  })

test('there is a shell to try the script with', () => {
  expect(shells, 'Neither busybox nor dash is on PATH: install busybox-static.').not.toHaveLength(0)
})

describe.each(shells)('the start script in $name', ({ install }) => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "molehill-test-start '$x-"))
    for (const directory of ['bin', 'job', 'job/work']) mkdirSync(join(root, directory))
    install(join(root, 'bin/busybox'))
  })
  afterEach(() => {
    rmSync(root, { recursive: true, force: true })
  })

  interface Trial {
    readonly command: readonly string[]
    readonly env?: Readonly<Record<string, string>>
    readonly variables?: Readonly<Record<string, string>>
    readonly wallTimeMs?: number
    readonly stopGraceMs?: number
  }

  /** Starts the script; `ended` tells its exit code, its streams, and what it wrote down. */
  function start({ command, env = {}, variables, wallTimeMs, stopGraceMs = 5000 }: Trial) {
    const places = placesBelow(root, join(root, 'message'))
    writeFileSync(join(root, 'job/command'), commandText({ command, env }, variables))
    writeFileSync(places.start, startScript({ wallTimeMs, stopGraceMs }, places))
    const child = spawn(places.busybox, ['sh', places.start], {
      env: { PATH: process.env['PATH'], FROM_IMAGE: 'kept' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const log = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (log.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log.stderr += text))
    const { promise: ended, resolve, reject } = Promise.withResolvers<number | string>()
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'nothing'))
    return { child, log, ended }
  }

  const file = (name: string) => readFileSync(join(root, 'job', name), 'utf8')
  const run = async (trial: Trial) => {
    const { log, ended } = start(trial)
    return { code: await ended, log, end: readEnd(file('exit')) }
  }

  async function until(what: string, isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + waitMs
    while (!isSo()) {
      if (Date.now() > deadline) throw new Error(`After ${waitMs} ms ${what} was not so.`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  test.each([0, 1, 7, 124, 125, 126, 127, 137, 143, 255])(
    'a job that exits with %i exited so',
    async (code) => {
      const result = await run({ command: ['sh', '-c', `exit ${code}`] })
      expect(result).toMatchObject({ code, end: { kind: 'exited', exitCode: code } })
      expect(readFileSync(join(root, 'message'), 'utf8')).toBe(`exited ${code}\n`)
    },
  )

  test('streams stay apart, in files and in the log of the pod', async () => {
    const { log } = await run({ command: ['sh', '-c', 'echo out; echo err >&2; printf rest'] })
    expect([file('stdout'), file('stderr')]).toEqual(['out\nrest', 'err\n'])
    expect(log).toEqual({ stdout: 'out\nrest', stderr: 'err\n' })
  })

  test('the log shows what is printed while the job runs', { timeout: 2 * waitMs }, async () => {
    const { child, log, ended } = start({
      command: ['sh', '-c', 'echo first; exec sleep 60'],
      stopGraceMs: 100,
    })
    await until('the first line in the log', () => log.stdout === 'first\n')
    child.kill('SIGTERM')
    expect(await ended).toBe(143)
    expect(log).toEqual({ stdout: 'first\n', stderr: '' })
    expect(file('stderr')).toBe('')
  })

  test('all that is printed arrives, also when it is much', { timeout: 2 * waitMs }, async () => {
    const { log } = await run({ command: ['sh', '-c', 'seq 1 200000; seq 1 1000 >&2'] })
    const numbers = (count: number) => Array.from({ length: count }, (_, at) => `${at + 1}\n`).join('')
    expect(file('stdout')).toBe(numbers(200_000))
    expect(log.stdout === numbers(200_000)).toBe(true)
    expect(log.stderr === numbers(1000)).toBe(true)
  })

  const oddTexts = [
    '',
    ' ',
    "it's",
    `"'\`$(id)\${HOME}\\`,
    'two\nlines\r\n',
    '\t*?[a]~#;&|<>(){}!',
    'größe \u0081\u0085\u00a0 日本 🦔',
    '-n',
    '--',
    Array.from({ length: 127 }, (_, at) => String.fromCharCode(at + 1)).join(''),
  ]

  test('arguments arrive byte for byte', async () => {
    const print = 'process.stdout.write(JSON.stringify(process.argv.slice(1)))'
    const { code } = await run({ command: [process.execPath, '-e', print, '--', ...oddTexts] })
    expect(code).toBe(0)
    expect(JSON.parse(file('stdout'))).toEqual(oddTexts)
  })

  test('variables arrive byte for byte, whatever their names', async () => {
    const odd = Object.fromEntries(oddTexts.map((text, at) => [`V${at}`, text]))
    const env = { ...odd, 'with.dots-and spaces': 'x', IFS: ':', OPTIND: 'y', LINENO: 'z', A: 'own' }
    const print = 'process.stdout.write(JSON.stringify(process.env))'
    const command = [process.execPath, '-e', print]
    const { code } = await run({ command, env, variables: { A: 'environment', B: 'environment' } })
    expect(code).toBe(0)
    expect(JSON.parse(file('stdout'))).toMatchObject({ ...env, B: 'environment', FROM_IMAGE: 'kept' })
    expect(JSON.parse(file('stdout'))).not.toHaveProperty('OLDPWD')
    expect(file('stdout')).not.toContain('molehill_')
  })

  test('the job runs in its directory, without input, and with no files of ours open', async () => {
    await run({ command: ['sh', '-c', 'pwd -P; cat; ls -l /proc/$$/fd >list; grep -c /job/std list'] })
    // Two: its own streams.
    expect(file('stdout')).toBe(`${join(root, 'job/work')}\n2\n`)
  })

  test('programs are looked for on the PATH of the job, and by odd names', async () => {
    const odd = 'a=b $c'
    mkdirSync(join(root, 'job/work/p'))
    writeFileSync(join(root, 'job/work/p', odd), '#!/bin/sh\necho "found $1"\n', { mode: 0o755 })
    const PATH = `${join(root, 'job/work/p')}:/usr/bin:/bin`
    expect(await run({ command: [odd, 'it'], env: { PATH } })).toMatchObject({ code: 0 })
    expect(file('stdout')).toBe('found it\n')
  })

  test('a program that is not there gives 127 and a word about it', async () => {
    expect(await run({ command: ['no-such-program'] })).toMatchObject({
      code: 127,
      end: { kind: 'exited', exitCode: 127 },
    })
    expect(file('stderr')).toContain('no-such-program')
  })

  test('a program that cannot be run gives 126', async () => {
    writeFileSync(join(root, 'job/work/text'), 'x', { mode: 0o644 })
    expect(await run({ command: ['./text'] })).toMatchObject({ code: 126 })
  })

  test.each([
    ['KILL', 9],
    ['TERM', 15],
    ['SEGV', 11],
    ['USR1', 10],
  ])('a program that SIG%s ends has not exited', async (name, signal) => {
    expect(await run({ command: ['sh', '-c', `kill -${name} $$`] })).toMatchObject({
      code: 128 + signal,
      end: { kind: 'signalled', signal },
    })
  })

  test('ash says nothing of SIGPIPE, which looks like an exit code', async () => {
    expect(await run({ command: ['sh', '-c', 'kill -PIPE $$'] })).toMatchObject({
      code: 141,
      end: { kind: 'exited', exitCode: 141 },
    })
  })

  test('after its wall time a job is asked to end', { timeout: waitMs }, async () => {
    const command = ['sh', '-c', 'trap "echo asked; exit 0" TERM; sleep 60 & wait']
    expect(await run({ command, wallTimeMs: 2000 })).toMatchObject({ code: 124, end: { kind: 'timeout' } })
    expect(file('stdout')).toBe('asked\n')
    expect(readFileSync(join(root, 'message'), 'utf8')).toBe('timeout\n')
  })

  test('and is killed with all its processes when it does not', { timeout: waitMs }, async () => {
    const inner = 'trap "" TERM; echo $$ >"$1"; while :; do sleep 0.1; done'
    const command = ['sh', '-c', `sh -c '${inner}' sh inner & trap "" TERM; sleep 60; sleep 60`]
    expect(await run({ command, wallTimeMs: 2000, stopGraceMs: 300 })).toMatchObject({
      code: 124,
      end: { kind: 'timeout' },
    })
    const pid = Number(readFileSync(join(root, 'job/work/inner'), 'utf8'))
    await until(`the end of process ${pid}`, () => !isAlive(pid))
  })

  test('a wall time that is over at once is kept too', { timeout: waitMs }, async () => {
    expect(await run({ command: ['sleep', '60'], wallTimeMs: 1 })).toMatchObject({
      code: 124,
      end: { kind: 'timeout' },
    })
  })

  test('a job that ends before its wall time leaves nothing running', async () => {
    const seconds = 10_000_000 + process.pid
    expect(await run({ command: ['true'], wallTimeMs: seconds * 1000 })).toMatchObject({ code: 0 })
    await until('that no sleep is left', () => !isRunning(`sleep ${seconds}`))
  })

  test.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)(
    'a %s to the script asks the job to end',
    { timeout: waitMs },
    async (signal) => {
      const command = ['sh', '-c', 'trap "echo asked; exit 9" TERM; echo ready; sleep 60 & wait']
      const { child, ended } = start({ command })
      await until('the job ready', () => existsSync(join(root, 'job/stdout')) && file('stdout') === 'ready\n')
      child.kill(signal)
      expect(await ended).toBe(9)
      expect(file('stdout')).toBe('ready\nasked\n')
      expect(readEnd(file('exit'))).toEqual({ kind: 'exited', exitCode: 9 })
    },
  )

  test('many signals do not lose how the job ended', { timeout: waitMs }, async () => {
    const command = [
      'sh',
      '-c',
      'trap : TERM; echo ready; until [ -e ../enough ]; do sleep 0.05; done; exit 5',
    ]
    const { child, ended } = start({ command, stopGraceMs: 60_000 })
    await until('the job ready', () => existsSync(join(root, 'job/stdout')) && file('stdout') === 'ready\n')
    for (let count = 0; count < 50; count += 1) {
      child.kill('SIGTERM')
      await new Promise((resolve) => setImmediate(resolve))
    }
    writeFileSync(join(root, 'job/enough'), '')
    child.kill('SIGTERM')
    expect(await ended).toBe(5)
  })

  test('a job that ignores SIGTERM is killed after the grace', { timeout: waitMs }, async () => {
    const command = ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done']
    const { child, ended } = start({ command, stopGraceMs: 300 })
    await until('the job ready', () => existsSync(join(root, 'job/stdout')) && file('stdout') === 'ready\n')
    child.kill('SIGTERM')
    expect(await ended).toBe(137)
    expect(readEnd(file('exit'))).toEqual({ kind: 'signalled', signal: 9 })
  })

  test('processes that a job leaves behind do not keep it from ending', { timeout: waitMs }, async () => {
    const { code } = await run({ command: ['sh', '-c', 'sleep 12345 & echo $! >left; exit 3'] })
    expect(code).toBe(3)
    const pid = Number(readFileSync(join(root, 'job/work/left'), 'utf8'))
    await until(`the end of process ${pid}`, () => !isAlive(pid))
  })

  test('a job directory without its work directory is told', async () => {
    rmSync(join(root, 'job/work'), { recursive: true })
    const { code, end } = await run({ command: ['true'] })
    expect(code).toBe(125)
    expect(end).toMatchObject({ kind: 'failed', message: expect.stringContaining('cannot be entered') })
  })

  test('logs that cannot be made are told', async () => {
    mkdirSync(join(root, 'job/stdout'))
    const { code, end } = await run({ command: ['true'] })
    expect(code).toBe(125)
    expect(end).toMatchObject({ kind: 'failed', message: expect.stringContaining('logs could not be made') })
  })

  test('a killed keeper is told', { timeout: waitMs }, async () => {
    const { child, ended } = start({ command: ['sh', '-c', 'echo ready; sleep 60'] })
    await until('the job ready', () => existsSync(join(root, 'job/stdout')) && file('stdout') === 'ready\n')
    const leader = Number(file('group'))
    const keeper = Number(/^\d+ \(.*\) \S (\d+)/.exec(readFileSync(`/proc/${leader}/stat`, 'utf8'))?.[1])
    expect(keeper).not.toBe(child.pid)
    process.kill(keeper, 'SIGKILL')
    expect(await ended).toBe(125)
    expect(readEnd(file('exit'))?.kind).toBe('abandoned')
    await until(`the end of process ${leader}`, () => !isAlive(leader))
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function isRunning(words: string): boolean {
  return spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout.includes(words)
}
