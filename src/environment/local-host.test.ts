import { Readable, Writable } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { noSignal } from '../../test/conformance/trial.ts'
import { processesWith, untilNoProcessWith } from '../../test/conformance/processes.ts'
import { until } from '../../test/conformance/until.ts'
import { EnvironmentError } from './environment.ts'
import { LocalHost } from './local-host.ts'

const host = new LocalHost({ variables: { PATH: process.env['PATH'] ?? '' } })
afterEach(() => host.close())

const shell = (script: string): readonly string[] => ['sh', '-c', script]

describe('a program that runs to its end', () => {
  test('gives its exit code and what it printed', async () => {
    const result = await host.run(
      { argv: shell('cat; echo err >&2; exit 7'), input: 'in', variables: { A: 'b' } },
      noSignal,
    )
    expect(result).toEqual({ exitCode: 7, stdout: 'in', stderr: 'err\n' })
  })

  test('has no exit code when a signal ended it', async () => {
    expect((await host.run({ argv: shell('kill -KILL $$') }, noSignal)).exitCode).toBeNull()
  })

  test('sees the variables that are given and none of the server', async () => {
    const { stdout } = await host.run({ argv: ['env'], variables: { OWN: '1' } }, noSignal)
    expect(stdout.trim().split('\n').sort()).toEqual(['OWN=1', `PATH=${process.env['PATH'] ?? ''}`])
  })

  test('that is not there is told as a shell tells it', async () => {
    const result = await host.run({ argv: ['no-such-program-anywhere'] }, noSignal)
    expect(result).toMatchObject({ exitCode: 127, stderr: expect.stringContaining('no-such-program') })
  })

  test('reads a stream and writes into one', async () => {
    let bytes = 0
    const output = new Writable({
      write(chunk: Buffer, _, done) {
        bytes += chunk.length
        setImmediate(done)
      },
    })
    const input = Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(10_000)))
    expect(await host.run({ argv: ['cat'], input, output }, noSignal)).toMatchObject({
      exitCode: 0,
      stdout: '',
    })
    expect(bytes).toBe(2_000_000)
  })

  test('may end without reading its input', async () => {
    const input = Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(100_000)))
    expect(await host.run({ argv: shell('exit 3'), input }, noSignal)).toMatchObject({ exitCode: 3 })
  })
})

describe('a program that does not end in time', () => {
  const tree = 'MARK=sleeping-tree; export MARK; sleep 600 & sleep 600'

  test('is killed with its children, and the host has not answered', async () => {
    const command = { argv: shell(tree), variables: { NAME: 'too-late-tree' }, timeoutMs: 200 }
    await expect(host.run(command, noSignal)).rejects.toThrow(EnvironmentError)
    await untilNoProcessWith('too-late-tree')
  })

  test('is killed when the caller gives up', async () => {
    const abort = new AbortController()
    const running = host.run({ argv: shell(tree), variables: { NAME: 'given-up-tree' } }, abort.signal)
    running.catch(() => undefined)
    await until('it runs', () => (processesWith('given-up-tree').length > 1 ? true : undefined))
    abort.abort(new Error('enough'))
    await expect(running).rejects.toThrow('enough')
    await untilNoProcessWith('given-up-tree')
  })

  test('is killed when its input fails', async () => {
    const input = new Readable({ read: () => undefined })
    const running = host.run({ argv: ['cat'], input }, noSignal)
    running.catch(() => undefined)
    input.destroy(new Error('the file is gone'))
    await expect(running).rejects.toThrow('the file is gone')
  })
})

test('a program that left its output to another one is over all the same', async () => {
  const begin = performance.now()
  const { exitCode } = await host.run({ argv: shell('setsid sleep 5 & exit 0') }, noSignal)
  expect(exitCode).toBe(0)
  expect(performance.now() - begin).toBeLessThan(4_900)
})

test('an open program is talked to until its input ends', async () => {
  const shellProcess = await host.open(['sh'], noSignal)
  let text = ''
  shellProcess.stdout.on('data', (chunk) => (text += String(chunk)))
  shellProcess.stdin.write('echo one\n')
  await until('it answers', () => (text === 'one\n' ? true : undefined))
  shellProcess.stdin.end('exit 4\n')
  expect(await shellProcess.ended).toMatchObject({ exitCode: 4 })
})

test('closing ends open programs', async () => {
  const shellProcess = await host.open(['sh'], noSignal)
  await host.close()
  expect((await shellProcess.ended).message).toContain('SIGKILL')
})
