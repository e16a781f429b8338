import { execFileSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Trial } from '../../test/conformance/trial.ts'
import { plugin } from './index.ts'
import { remarkOn } from './remark.ts'

const mebibyte = 2 ** 20
const limits = {
  memoryBytes: 128 * mebibyte,
  fileBytes: 4 * mebibyte,
  printedBytes: mebibyte,
  processes: 4096,
}
const isRoot = process.getuid?.() === 0
let trial: Trial

beforeEach(async () => {
  trial = new Trial((directory) =>
    plugin.create('local', plugin.options.parse({ slots: 1, stopGraceMs: 300 }), {
      directory,
      variables: process.env,
      limits,
      now: Date.now,
      warn: () => undefined,
    }),
  )
  await trial.open()
})
afterEach(() => trial.close())

describe('a command', () => {
  test('that takes memory without end fails, and the limit is told', async () => {
    const { end, collected } = await trial.run(trial.shell("exec bash -c 'x=x; while :; do x=$x$x; done'"))
    expect(end).toMatchObject({ kind: 'exited', exitCode: 2 })
    expect(collected.remark).toBe('each of its processes may take at most 128 MiB of memory (--task-memory)')
  })

  test('that asks for more memory than there may be is refused, and for less it gets less', async () => {
    const large = await trial.environment.submit(
      [trial.request(['true'], { resources: { memoryBytes: 2 ** 40 } })],
      new AbortController().signal,
    )
    expect([...large.values()]).toEqual([
      {
        kind: 'rejected',
        reason: 'It asks for 1 TiB of memory; here a process may take at most 128 MiB (--task-memory).',
      },
    ])
    const small = trial.request(['bash', '-c', 'ulimit -d'], { resources: { memoryBytes: 64 * mebibyte } })
    expect((await trial.run(small)).stdout).toBe(`${64 * 1024}\n`)
  })

  test('that writes a file without end is ended, and the limit is told', async () => {
    const { end, collected } = await trial.run(
      trial.request(['head', '-c', '1G', '/dev/zero'], { outputs: [] }),
    )
    expect(end).toMatchObject({ kind: 'stopped' })
    expect(statSync(collected.stdout).size).toBeLessThanOrEqual(limits.printedBytes)
    const file = await trial.run(trial.shell('exec cat /dev/zero > large'))
    expect(file.end).toMatchObject({ kind: 'stopped', cause: 'signal' })
    expect(file.collected.remark).toBe('a file that it writes may have at most 4 MiB (--task-file-size)')
    const child = await trial.run(trial.shell('cat /dev/zero > large; exit $?'))
    expect(child.end).toMatchObject({ kind: 'exited', exitCode: 153 })
    expect(child.collected.remark).toContain('--task-file-size')
  })

  test.each([
    ['without end', 'while :; do echo a line of some length; done'],
    ['to its standard error', 'while :; do echo a line of some length >&2; done'],
    ['and ends before anybody looks', 'head -c 2M /dev/zero'],
  ])('that prints %s is ended, and its log is cut', async (_, text) => {
    const { end, collected } = await trial.run(trial.shell(text))
    expect(end).toEqual({
      kind: 'stopped',
      cause: 'limit',
      message: 'It printed more than 1 MiB (--task-output).',
    })
    for (const log of [collected.stdout, collected.stderr])
      expect(statSync(log).size).toBeLessThanOrEqual(limits.printedBytes)
  })

  test('leaves no core and is the first to go when memory runs out', async () => {
    const { stdout } = await trial.run(trial.shell('ulimit -c; cat /proc/self/oom_score_adj'))
    expect(stdout).toBe('0\n500\n')
  })

  // Only root may mount a small disk.
  test.runIf(isRoot)('that meets a full disk is told of it, even if it says nothing itself', async () => {
    const disk = join(trial.directory, 'disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2M', 'none', disk])
    try {
      const request = { ...trial.shell('cat /dev/zero > full 2>/dev/null'), workDirectory: disk }
      const full = { ...request, command: ['sh', '-c', `cat /dev/zero > ${disk}/full 2>/dev/null`] }
      const { end, collected } = await trial.run(full)
      expect(end).toMatchObject({ kind: 'exited', exitCode: 1 })
      expect(collected.remark).toBe(`the disk of ${disk} is full: 0 bytes are free`)
    } finally {
      execFileSync('umount', ['--lazy', disk])
    }
  })
})

test('nothing is remarked on a job that failed by itself', () => {
  const job = { code: 1, complaint: 'no such file', directories: ['/proc'] }
  expect(remarkOn(job, limits)).toBeUndefined()
  expect(remarkOn({ ...job, complaint: 'std::bad_alloc' }, {})).toBeUndefined()
  expect(remarkOn({ ...job, complaint: 'fork: Resource temporarily unavailable' }, limits)).toContain(
    'at most 4096 processes',
  )
})
