import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { placesBelow, type Places } from './places.ts'
import { outputsText } from '../files/archive.ts'
import { keptName, stageInText, stageOutText } from './staging-scripts.ts'

const waitMs = 30_000
const path = [...(process.env['PATH'] ?? '').split(delimiter), '/bin', '/usr/bin']
const busybox =
  path.map((directory) => join(directory, 'busybox')).find((file) => existsSync(file)) ?? 'busybox'

let root: string
let places: Places
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "molehill-test-staging '$x-"))
  places = placesBelow(join(root, 'pod'), join(root, 'message'))
  mkdirSync(places.root)
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

function start(text: string) {
  const child = spawn(busybox, ['sh', '-c', text], {
    env: { PATH: `${dirname(busybox)}:${process.env['PATH'] ?? ''}`, MOLEHILL_TOKEN: 'secret' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const { promise, resolve, reject } = Promise.withResolvers<number | string>()
  child.on('error', reject).on('close', (code, signal) => resolve(code ?? signal ?? 'nothing'))
  return { child, ended: promise }
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + waitMs
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`After ${waitMs} ms ${what} was not so.`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test(
  'stage-in leaves its busybox, waits for the files and opens them to all',
  { timeout: waitMs },
  async () => {
    const { ended } = start(stageInText({ limitMs: waitMs }, places))
    await until('busybox there', () => existsSync(places.busybox))
    expect(readFileSync(places.busybox).equals(readFileSync(busybox))).toBe(true)
    await until('the job directory there', () => existsSync(join(places.job, 'work')))
    writeFileSync(join(places.job, 'command'), 'x', { mode: 0o600 })
    writeFileSync(join(places.job, 'work/run'), 'x', { mode: 0o700 })
    writeFileSync(places.in, '')
    expect(await ended).toBe(0)
    expect(statSync(join(places.job, 'command')).mode & 0o777).toBe(0o666)
    expect(statSync(join(places.job, 'work/run')).mode & 0o777).toBe(0o777)
  },
)

test('stage-in gives up with a word', { timeout: waitMs }, async () => {
  expect(await start(stageInText({ limitMs: 300 }, places)).ended).toBe(1)
  expect(readFileSync(places.message, 'utf8')).toBe('The files did not come in time.\n')
})

test('stage-in ends when it is asked to', { timeout: waitMs }, async () => {
  const { child, ended } = start(stageInText({ limitMs: waitMs }, places))
  await until('busybox there', () => existsSync(places.busybox))
  child.kill('SIGTERM')
  expect(await ended).toBe(143)
})

test('stage-out waits for the server', { timeout: waitMs }, async () => {
  mkdirSync(places.job)
  const { ended } = start(stageOutText({ limitMs: waitMs }, places))
  writeFileSync(join(places.job, 'exit'), 'exited 0\n')
  writeFileSync(places.out, '')
  expect(await ended).toBe(0)
})

test(
  'stage-out waits for a server that is away only so long after the end',
  { timeout: waitMs },
  async () => {
    mkdirSync(places.job)
    const { ended } = start(stageOutText({ limitMs: 300 }, places))
    expect(
      await Promise.race([ended, new Promise((resolve) => setTimeout(() => resolve('waits'), 1000))]),
    ).toBe('waits')
    writeFileSync(join(places.job, 'exit'), 'exited 0\n')
    expect(await ended).toBe(0)
    expect(existsSync(places.job)).toBe(true)
  },
)

test('stage-out leaves the outputs in the claim when the server is away', { timeout: waitMs }, async () => {
  mkdirSync(join(places.job, 'work/out'), { recursive: true })
  mkdirSync(places.kept)
  writeFileSync(join(places.job, 'stdout'), 'printed')
  writeFileSync(join(places.job, "work/out/it's one"), 'one')
  writeFileSync(places.outputs, outputsText(['stdout', "work/out/it's one", 'work/none']))
  const { ended } = start(stageOutText({ limitMs: waitMs, claimAfterMs: 300 }, places))
  writeFileSync(join(places.job, 'exit'), 'exited 0\n')
  expect(await ended).toBe(0)
  const list = execFileSync('tar', ['-tf', join(places.kept, keptName)], { encoding: 'utf8' })
  expect(list).toBe("stdout\nwork/out/it's one\n")
})

test(
  'stage-out keeps what is being fetched, and what the claim has no room for',
  { timeout: waitMs },
  async () => {
    mkdirSync(places.job)
    writeFileSync(places.outputs, outputsText(['stdout']))
    writeFileSync(join(places.job, 'stdout'), 'printed')
    writeFileSync(join(places.job, 'exit'), 'exited 0\n')
    const { ended } = start(stageOutText({ limitMs: waitMs, claimAfterMs: 200 }, places))
    const stays = await Promise.race([
      ended,
      new Promise((resolve) => setTimeout(() => resolve('stays'), 1500)),
    ])
    expect(stays).toBe('stays')
    writeFileSync(places.out, '')
    expect(await ended).toBe(0)
    rmSync(places.out)
    mkdirSync(places.kept)
    writeFileSync(places.fetching, '')
    const fetched = start(stageOutText({ limitMs: waitMs, claimAfterMs: 200 }, places))
    await until('the outputs in the claim', () => existsSync(join(places.kept, keptName)))
    expect(fetched.child.exitCode).toBe(null)
    writeFileSync(places.out, '')
    expect(await fetched.ended).toBe(0)
  },
)
