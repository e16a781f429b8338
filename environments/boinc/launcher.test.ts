import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { until } from '../../test/conformance/until.ts'
import { digestResult, readRecord, unpackResult } from '../../src/volunteers/result-archive.ts'
import { FakeClient } from './launcher.fixtures.ts'
import { launcherScript } from './launcher-script.ts'

const shells = [['dash'], ['bash', '--posix'], ['busybox', 'sh']].filter(
  ([program = '', ...words]) => spawnSync(program, [...words, '-c', 'exit 0']).status === 0,
)
const awkward = 'ü "double" \'single\' $HOME `id` \\ * ;&|<>()#!~'
const noSignal = new AbortController().signal

async function unpacked(client: FakeClient): Promise<(path: string) => string> {
  const target = join(client.directory, 'result')
  await unpackResult(join(client.slot, 'result.tar.gz'), target, noSignal)
  return (path) => readFileSync(join(target, path), 'utf8')
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A zombie of somebody else's is gone for us.
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

test('the launcher is in order by ShellCheck, where that is installed', () => {
  const { status, stdout, error } = spawnSync('shellcheck', ['--shell=sh', '--severity=warning', '-'], {
    input: launcherScript,
    encoding: 'utf8',
  })
  if (error === undefined) expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
})

describe.each(shells)('the launcher with a fake client, run by %s', { timeout: 180_000 }, (...shell) => {
  test('runs jobs one after the other and packs how each ended, what it printed and its outputs', async () => {
    await using client = await FakeClient.start(shell)
    mkdirSync(join(client.workDirectory, 'data'))
    writeFileSync(join(client.workDirectory, 'data/in.txt'), 'from the work directory')
    writeFileSync(join(client.directory, 'elsewhere'), 'an input')
    const name = `file ${awkward.replaceAll('/', '')}\nsecond line`
    await client.place([
      client.request(
        'cat data/in.txt data/own > out.txt; echo printed; echo "$LD_LIBRARY_PATH" >&2; exit 7',
        {
          inputs: [{ from: join(client.directory, 'elsewhere'), to: 'data/own' }],
          outputs: [{ path: 'out.txt' }, { path: 'missing' }],
        },
      ),
      client.request('', {
        command: ['sh', '-c', 'printf "%s|%s" "$1" "$WORD"; echo content > "$2"', 'sh', awkward, name],
        env: { WORD: `${awkward}\nsecond` },
        outputs: [{ path: `./${name}` }],
      }),
      client.request('kill -SEGV $$'),
      client.request('', { command: ['no-such-program'] }),
    ])
    client.launch()
    expect(await client.ended()).toBe(0)
    expect(client.read('boinc_finish_called')).toBe('0\n')
    const archive = join(client.slot, 'result.tar.gz')
    const { ends } = await readRecord(archive)
    expect([...ends.values()].map(({ kind, code }) => [kind, code])).toEqual([
      ['exited', 7],
      ['exited', 0],
      ['signal', 11],
      ['exited', 127],
    ])
    const read = await unpacked(client)
    expect(read('jobs/1/out/1')).toBe('from the work directoryan input')
    expect([read('jobs/1/stdout'), read('jobs/1/stderr')]).toEqual(['printed\n', '/own/libraries\n'])
    expect(read('jobs/2/stdout')).toBe(`${awkward}|${awkward}\nsecond`)
    expect(read('jobs/2/out/1')).toBe('content\n')
    expect(read('jobs/4/stderr')).toContain('no-such-program')
    expect(await digestResult(archive)).toMatchObject({ kind: 'sound' })
  })

  test('suspends, resumes, tells how far it is, and quits without an end to begin again', async () => {
    await using client = await FakeClient.start(shell)
    const steps = 'i=0; while :; do i=$((i + 1)); echo $i >steps; sleep 0.1; [ -e go ] && exit 0; done'
    await client.place([client.request('exit 3'), client.request(steps)])
    client.launch()
    await client.untilFile('jobs/2/work/steps')
    expect(await client.status()).toMatch(/<current_cpu_time>\d+<.*<fraction_done>0\.499</)
    await client.send('<suspend/>')
    // A message is taken before it is done: with the next one it is.
    await client.send('<network_available/>')
    const suspended = client.read('jobs/2/work/steps')
    await client.send('<reread_app_info/>')
    await client.send('<network_available/>')
    expect(client.read('jobs/2/work/steps')).toBe(suspended)
    await client.send('<resume/>')
    await until(
      'it goes on',
      () => client.read('jobs/2/work/steps') !== suspended || undefined,
      undefined,
      60_000,
    )
    await client.send('<quit/>')
    expect(await client.ended()).toBe(0)
    expect(existsSync(join(client.slot, 'boinc_finish_called'))).toBe(false)
    const first = client.read('jobs/2/leader')
    client.launch()
    await until(
      'it runs anew',
      () => (client.read('jobs/2/leader') ?? first) !== first || undefined,
      undefined,
      60_000,
    )
    await client.untilFile('jobs/2/work/steps')
    writeFileSync(join(client.slot, 'jobs/2/work/go'), '')
    expect(await client.ended()).toBe(0)
    const { ends } = await readRecord(join(client.slot, 'result.tar.gz'))
    expect([...ends.values()].map(({ kind, code }) => [kind, code])).toEqual([
      ['exited', 3],
      ['exited', 0],
    ])
  })
})

describe('the launcher with a fake client', { timeout: 180_000 }, () => {
  const shell = shells[0] ?? []
  test('stops what a job left running, and ends it at its time, memory and disk', async () => {
    await using client = await FakeClient.start(shell)
    await client.place([
      client.request('sleep 1000 & echo $! > left', { outputs: [{ path: 'left' }] }),
      client.request('sleep 1000', { resources: { wallTimeMs: 1000 } }),
      client.request('node -e "const kept = Buffer.alloc(3e8, 1); setTimeout(() => kept, 1e6)"', {
        resources: { memoryBytes: 150_000_000 },
      }),
      client.request('head -c 30000000 /dev/zero >large; sleep 1000'),
    ])
    client.launch()
    expect(await client.ended()).toBe(0)
    const { ends } = await readRecord(join(client.slot, 'result.tar.gz'))
    expect([...ends.values()].map(({ kind }) => kind)).toEqual(['exited', 'timeout', 'memory', 'disk'])
    const read = await unpacked(client)
    expect(isAlive(Number(read('jobs/1/out/1')))).toBe(false)
  })

  test('kills the job when it is told to abort, and when its client is gone', async () => {
    await using client = await FakeClient.start(shell)
    await client.place([client.request('echo $$ >pid; sleep 1000')])
    client.launch()
    const aborted = Number(await client.untilFile('jobs/1/work/pid'))
    await client.send('<abort/>')
    expect(await client.ended()).toBe(0)
    expect(isAlive(aborted)).toBe(false)

    client.launch()
    const orphan = await until(
      'another job runs',
      () => {
        const pid = Number(client.read('jobs/1/work/pid') ?? aborted)
        return pid === aborted || pid === 0 ? undefined : pid
      },
      undefined,
      60_000,
    )
    client.sayClientPid(1)
    expect(await client.ended()).toBe(0)
    expect(isAlive(orphan)).toBe(false)
    expect(existsSync(join(client.slot, 'boinc_finish_called'))).toBe(false)
  })

  test('ends what a killed launcher left, and gives up after the fifth start that nothing explains', async () => {
    await using client = await FakeClient.start(shell)
    await client.place([client.request('echo $$ >pid; sleep 1000')])
    let last = 0
    for (let start = 1; start <= 4; start += 1) {
      client.launch()
      const pid = await until(
        'another job runs',
        () => {
          const found = Number(client.read('jobs/1/work/pid') ?? last)
          return found === last || found === 0 ? undefined : found
        },
        () => client.listing(),
        60_000,
      )
      if (last !== 0) expect(isAlive(last)).toBe(false)
      last = pid
      process.kill(client.launcherPid, 'SIGKILL')
      await client.ended()
      expect(isAlive(pid)).toBe(true)
    }
    client.launch()
    expect(await client.ended()).toBe(0)
    expect(isAlive(last)).toBe(false)
    expect(await digestResult(join(client.slot, 'result.tar.gz'))).toMatchObject({
      kind: 'broken',
      message: expect.stringContaining('killed again and again'),
    })
  })

  test('leaves outputs away that are larger than may be sent, and says so', async () => {
    await using client = await FakeClient.start(shell)
    await client.place(
      [client.request('head -c 100000 /dev/urandom >out; echo log', { outputs: [{ path: 'out' }] })],
      50_000,
    )
    client.launch()
    expect(await client.ended()).toBe(0)
    const { ends, remark } = await readRecord(join(client.slot, 'result.tar.gz'))
    expect(ends.get(1)).toMatchObject({ kind: 'exited', code: 0 })
    expect(remark).toMatch(/^its outputs take 100\d{3} bytes where 50000 may be sent$/)
    const read = await unpacked(client)
    expect(read('jobs/1/stdout')).toBe('log\n')
  })
})
