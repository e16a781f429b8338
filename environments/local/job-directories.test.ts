import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { toJobId, type JobRequest } from '../../src/environment/environment.ts'
import { JobDirectories } from './job-directories.ts'
import { rememberingReader } from '../../src/environment/view.ts'

let base: string
let directories: JobDirectories
beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'molehill-directories-')))
  for (const name of ['jobs', 'one', 'two']) mkdirSync(join(base, name))
  for (const name of ['one/shared', 'one/only', 'two/shared']) writeFileSync(join(base, name), '')
  directories = new JobDirectories(join(base, 'jobs'), () => undefined)
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

function request(work: string, output?: string): JobRequest {
  return {
    id: toJobId('job'),
    command: ['true'],
    env: {},
    workDirectory: join(base, work),
    inputs: [],
    outputs: output === undefined ? [] : [{ path: output }],
    resources: {},
  }
}

const take = (work: string, output?: string): string =>
  directories.take(request(work, output), rememberingReader())

/** Takes and gives back so many directories that those at rest are looked at when the next one is taken. */
async function useMany(
  change: (directory: string, index: number) => void = () => undefined,
): Promise<string[]> {
  const taken = Array.from({ length: 400 }, () => take('one'))
  for (const [index, directory] of taken.entries()) change(directory, index)
  for (const directory of taken) await directories.give(directory)
  return taken
}

test('a directory that its job left tidy is used again, with the links that fit', async () => {
  const used = await useMany((directory) => {
    for (const log of ['stdout', 'stderr']) writeFileSync(join(directory, log), 'text')
    writeFileSync(join(directory, 'work/made'), 'by the job')
  })
  const inode = statSync(join(used[0]!, 'work')).ino
  const again = Array.from({ length: 400 }, () => take('two'))
  expect(again.sort()).toEqual(used.sort())
  expect(statSync(join(used[0]!, 'work')).ino).toBe(inode)
  for (const directory of again) {
    expect(readdirSync(join(directory, 'work'))).toEqual(['shared'])
    expect(readlinkSync(join(directory, 'work/shared'))).toBe(join(base, 'two/shared'))
    expect(statSync(join(directory, 'stdout')).size).toBe(0)
  }
})

test('what a job replaced is a link again', async () => {
  await useMany((directory) => {
    rmSync(join(directory, 'work/shared'))
    writeFileSync(join(directory, 'work/shared'), 'mine')
    rmSync(join(directory, 'work/only'))
    symlinkSync('/etc', join(directory, 'work/only'))
  })
  const directory = join(take('one'), 'work')
  expect(readlinkSync(join(directory, 'shared'))).toBe(join(base, 'one/shared'))
  expect(readlinkSync(join(directory, 'only'))).toBe(join(base, 'one/only'))
})

test('an output is not among the links of a directory that is used again', async () => {
  const used = await useMany()
  const directory = take('one', 'shared')
  expect(used).toContain(directory)
  expect(readdirSync(join(directory, 'work'))).toEqual(['only'])
})

test.each<[string, (directory: string) => void]>([
  ['made a directory', (directory) => mkdirSync(join(directory, 'work/sub'))],
  ['wrote beside its work directory', (directory) => writeFileSync(join(directory, 'extra'), '')],
  ['changed who may write', (directory) => chmodSync(join(directory, 'work'), 0o777)],
])('a directory whose job %s is removed', async (_, change) => {
  const directory = take('one')
  change(directory)
  await directories.give(directory)
  expect(existsSync(directory)).toBe(false)
})

test('a log that a job made a link is never written through', async () => {
  const used = await useMany((directory) => symlinkSync(join(base, 'one/only'), join(directory, 'stdout')))
  writeFileSync(join(base, 'one/only'), 'precious')
  expect(used.filter((directory) => existsSync(join(directory, 'stdout')))).toEqual([])
})

test('a directory in which a process still works is not used again', async () => {
  const daemons: ReturnType<typeof spawn>[] = []
  try {
    const used = await useMany((directory, index) => {
      if (index < 2) daemons.push(spawn('sleep', ['600'], { cwd: join(directory, 'work'), stdio: 'ignore' }))
    })
    const again = Array.from({ length: 420 }, () => take('one'))
    expect(again.filter((directory) => used.slice(0, 2).includes(directory))).toEqual([])
    expect(again.filter((directory) => used.includes(directory))).toHaveLength(398)
  } finally {
    for (const daemon of daemons) daemon.kill('SIGKILL')
  }
})

test('closing removes what is spare, and later ones at once', async () => {
  const kept = take('one')
  const used = take('one')
  await directories.give(used)
  await directories.close()
  expect(readdirSync(join(base, 'jobs'))).toHaveLength(1)
  await directories.give(kept)
  expect(readdirSync(join(base, 'jobs'))).toEqual([])
})
