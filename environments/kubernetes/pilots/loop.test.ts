import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { commandText } from '../scripts/command-text.ts'
import { loopScript } from './loop.ts'
import { pilotPlacesBelow, type PilotPlaces } from './places.ts'
import { closedCode, deliverText, endText, followText, keepText, layOutText } from './scripts.ts'

const waitMs = 60_000
const path = [...(process.env['PATH'] ?? '').split(delimiter), '/bin', '/usr/bin']
const busybox =
  path.map((directory) => join(directory, 'busybox')).find((file) => existsSync(file)) ?? 'busybox'

let root: string
let places: PilotPlaces
let children: ChildProcess[]
beforeEach(() => {
  children = []
  root = mkdtempSync(join(tmpdir(), "molehill-test-pilot '$x-"))
  places = pilotPlacesBelow(root, join(root, 'message'))
  expect(run(layOutText(places)).status).toBe(0)
})
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = new Promise((resolve) => child.once('close', resolve))
    // A pilot that is asked to end ends its jobs first.
    child.kill('SIGTERM')
    await ended
  }
  rmSync(root, { recursive: true, force: true })
})

const environment = () => ({
  PATH: `${dirname(busybox)}:${process.env['PATH'] ?? ''}`,
  MOLEHILL_ROOT: root,
})

function run(text: string, words: readonly string[] = [], input: Buffer | string = '') {
  return spawnSync(busybox, ['sh', '-c', text, 'sh', ...words], { input, env: environment() })
}

function start(text: string, words: readonly string[] = []) {
  const child = spawn(busybox, ['sh', '-c', text, 'sh', ...words], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(child)
  let printed = ''
  child.stdout.on('data', (chunk: Buffer) => (printed += String(chunk)))
  const ended = new Promise<number | string>((resolve) =>
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'nothing')),
  )
  return { child, ended, printed: () => printed }
}

const times = { grace: 1, idle: 600, work: 600, spare: 60 }
const loop = (more: Partial<typeof times> = {}, slots = 2) =>
  start(loopScript({ slots, times: { ...times, ...more } }, places))

interface Wish {
  readonly slots?: number
  readonly seconds?: number
}
let deliveries = 0

/** Brings jobs as the server does. */
function deliver(scripts: Readonly<Record<string, string>>, { slots = 1, seconds = 0 }: Wish = {}) {
  const source = mkdtempSync(join(tmpdir(), 'molehill-test-delivery-'))
  try {
    for (const [id, script] of Object.entries(scripts)) {
      execFileSync('mkdir', ['-p', join(source, 'jobs', id, 'work')])
      const command = commandText({ command: ['sh', '-c', script], env: {} })
      writeFileSync(join(source, 'jobs', id, 'command'), command)
    }
    const lines = Object.keys(scripts).map((id) => `${id} ${slots} ${seconds}\n`)
    writeFileSync(join(source, 'list'), lines.join(''))
    const archive = execFileSync('tar', ['-c', '-C', source, 'jobs', 'list'])
    deliveries += 1
    return run(deliverText, [String(archive.length), `d${deliveries}`], archive).status
  } finally {
    rmSync(source, { recursive: true })
  }
}

const log = (): readonly string[] => readFileSync(join(root, 'log'), 'utf8').trim().split('\n')
const file = (id: string, name: string): string => readFileSync(join(root, 'jobs', id, name), 'utf8')

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + waitMs / 2
  while (!isSo()) {
    if (Date.now() > deadline)
      throw new Error(`After ${waitMs / 2} ms ${what} was not so. Log: ${log().join('; ')}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
const logged = (line: string) => until(`${JSON.stringify(line)} in the log`, () => log().includes(line))

test('runs jobs, so many at once as it has slots, and tells of each', { timeout: waitMs }, async () => {
  loop()
  const scripts = Object.fromEntries(
    ['a', 'b', 'c', 'd', 'e'].map((id, code) => [id, `echo ${id}; echo no >&2; pwd; exit ${code}`]),
  )
  expect(deliver(scripts)).toBe(0)
  for (const [code, id] of ['a', 'b', 'c', 'd', 'e'].entries()) await logged(`ended ${id} exited ${code}`)
  expect(file('c', 'stdout')).toBe(`c\n${join(root, 'jobs/c/work')}\n`)
  expect(file('c', 'stderr')).toBe('no\n')
  let running = 0
  for (const line of log()) {
    if (line.startsWith('started')) running += 1
    else if (line.startsWith('ended')) running -= 1
    expect(running).toBeLessThanOrEqual(2)
  }
  expect(
    log()
      .filter((line) => line.startsWith('started'))
      .map((line) => line.slice(-1)),
  ).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(readdirSync(join(root, 'inbox'))).toEqual([])
  expect(readdirSync(join(root, 'new'))).toEqual([])
})

test(
  'tells codes above 128 from signals, and kills what a job leaves behind',
  { timeout: waitMs },
  async () => {
    loop({}, 4)
    deliver({ a: 'exit 143', b: 'kill -TERM $$', c: 'kill -SEGV $$', d: 'sleep 600 & echo $!; exit 0' })
    await logged('ended a exited 143')
    await logged('ended b signal 15')
    await logged('ended c signal 11')
    await logged('ended d exited 0')
    const left = Number(file('d', 'stdout'))
    await until('the rest of the job is gone', () => !existsSync(`/proc/${left}/cmdline`) || isZombie(left))
  },
)

function isZombie(pid: number): boolean {
  return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}

test('stops a job whose time is up, and kills one that does not mind', { timeout: waitMs }, async () => {
  loop()
  const stubborn = 'trap "" TERM; while :; do sleep 0.1; done'
  deliver({ a: 'exec sleep 600', b: stubborn }, { seconds: 1 })
  await logged('ended a timeout')
  await logged('ended b timeout')
})

test(
  'cancels one job, whether it runs or waits, and leaves the others alone',
  { timeout: waitMs },
  async () => {
    loop({}, 1)
    deliver({ a: 'exec sleep 600', b: 'exit 0', c: 'exit 0' })
    await logged('started a')
    expect(run(endText, ['cancel', 'b', 'a', 'unknown']).status).toBe(0)
    await logged('cancelled a')
    await logged('cancelled b')
    await logged('ended c exited 0')
    expect(log()).not.toContain('started b')
    expect(run(endText, ['cancel', 'c']).status).toBe(0)
    expect(existsSync(join(root, 'jobs/c/cancelled'))).toBe(false)
  },
)

test('leaves nothing of released jobs, also of one that still runs', { timeout: waitMs }, async () => {
  loop({}, 1)
  deliver({ a: 'exec sleep 600', b: 'exit 0' })
  await logged('started a')
  run(endText, ['release', 'a', 'b'])
  await logged('cancelled a')
  await until('nothing left', () => readdirSync(join(root, 'jobs')).length === 0)
  expect(log()).not.toContain('started b')
})

test('a job that needs more slots waits for them', { timeout: waitMs }, async () => {
  loop()
  deliver({ a: 'until [ -e ../../go ]; do sleep 0.1; done' })
  await logged('started a')
  deliver({ b: 'exit 0' }, { slots: 2 })
  deliver({ c: 'exit 0' })
  await until('lists taken', () => readdirSync(join(root, 'inbox')).length === 0)
  expect(log()).not.toContain('started b')
  writeFileSync(join(root, 'jobs/go'), '')
  await logged('ended b exited 0')
  await logged('ended c exited 0')
})

test('gives back what it has no time for, and then ends', { timeout: waitMs }, async () => {
  const { ended } = loop({ work: 30, spare: 3 })
  deliver({ a: 'exit 0' }, { seconds: 20 })
  await logged('ended a exited 0')
  deliver({ b: 'exit 0' }, { seconds: 100 })
  await logged('refused b')
  expect(existsSync(join(root, 'jobs/b'))).toBe(false)
  expect(await ended).toBe(0)
  expect(log().at(-1)).toBe('closed')
  expect(deliver({ c: 'exit 0' })).toBe(closedCode)
  expect(readdirSync(join(root, 'jobs'))).toEqual(['a'])
})

test(
  'gives up what runs when its time is over, or when it is asked to end',
  { timeout: waitMs },
  async () => {
    const { child, ended } = loop()
    deliver({ a: 'exec sleep 600', b: 'trap "exit 0" TERM; while :; do sleep 0.1; done' })
    await logged('started b')
    await until('b minds', () => existsSync(join(root, 'jobs/b/group')))
    await new Promise((resolve) => setTimeout(resolve, 500))
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(log()).toContain('ended a abandoned The pilot that ran it was asked to end.')
    expect(log()).toContain('ended b exited 0')
    expect(log()).toContain('closed')
  },
)

test(
  'ends by itself when nothing comes; its files stay until they are released',
  { timeout: waitMs },
  async () => {
    const keeping = start(keepText(600_000, places))
    const { ended } = loop({ idle: 1 })
    deliver({ a: 'exit 0' })
    await logged('ended a exited 0')
    expect(await ended).toBe(0)
    expect(keeping.child.exitCode).toBe(null)
    run(endText, ['release', 'a'])
    expect(await keeping.ended).toBe(0)
  },
)

test(
  'who follows learns how everything is, then what happens, until the next one comes',
  { timeout: waitMs },
  async () => {
    loop({}, 1)
    deliver({ a: 'exit 3' })
    await logged('ended a exited 3')
    deliver({ b: 'until [ -e ../../go ]; do sleep 0.1; done', c: 'exit 0' })
    await logged('started b')
    const { printed, ended } = start(followText, ['M1'])
    await until('all told', () => printed().includes('listed\n'))
    expect(printed()).toBe('begin\nended a exited 3\nstarted b\nwaiting c\nlisted\n')
    writeFileSync(join(root, 'jobs/go'), '')
    await until('news', () => printed().includes('ended b exited 0\nstarted c\nended c exited 0\n'))
    const next = start(followText, ['M2'])
    expect(await ended).toBe(0)
    await until('all told', () => next.printed().includes('ended c exited 0\nlisted\n'))
  },
)

test('half a delivery never runs', { timeout: waitMs }, async () => {
  loop()
  const source = mkdtempSync(join(tmpdir(), 'molehill-test-delivery-'))
  execFileSync('mkdir', ['-p', join(source, 'jobs/a/work')])
  writeFileSync(join(source, 'list'), 'a 1 0\n')
  const archive = execFileSync('tar', ['-c', '-C', source, 'jobs', 'list'])
  rmSync(source, { recursive: true })
  const half = archive.subarray(0, 1024)
  expect(run(deliverText, [String(half.length), 'half'], half).status).toBe(1)
  expect([readdirSync(join(root, 'jobs')), readdirSync(join(root, 'inbox'))]).toEqual([[], []])
})

test('texts of containers hold nothing that Kubernetes reads otherwise', () => {
  for (const text of [loopScript({ slots: 1, times }), layOutText(), keepText(1000)])
    expect(text).not.toContain('$$')
})
