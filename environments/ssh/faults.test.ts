import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from '../../test/conformance/until.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startSshHosts, type SshHost } from '../../test/daemons/ssh-hosts.ts'
import { startSshd } from '../../test/daemons/sshd.ts'
import type { SshServerOptions } from '../../test/daemons/ssh-server.ts'
import {
  toJobId,
  type Environment,
  type JobHandle,
  type JobRequest,
  type Observation,
} from '../../src/environment/environment.ts'
import { plugin } from './index.ts'

const noSignal = new AbortController().signal
const patienceMs = 60_000
const opened: { close(): Promise<void> }[] = []
let directory: string
let count = 0

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-test-faults-'))
  mkdirSync(join(directory, 'work'))
  writeFileSync(join(directory, 'config'), '')
})
afterEach(async () => {
  for (const each of opened.splice(0).toReversed()) await each.close()
  rmSync(directory, { recursive: true, force: true })
})

async function start(hostCount: number, options: SshServerOptions = {}): Promise<readonly SshHost[]> {
  const started = await startSshHosts(hostCount, options)
  opened.push({ close: () => started.stop() })
  return started.hosts
}

async function open(server: SshHost, more: Record<string, unknown> = {}): Promise<Environment> {
  const { host, user, port, identityFile, knownHostsFile } = server
  const account = { host, user, port, identityFile, knownHostsFile, configFile: join(directory, 'config') }
  const times = { keepAliveMs: 1000, connectTimeoutMs: 3000, stopGraceMs: 2000, idleMs: 20_000 }
  const environment = await plugin.create(
    'ssh',
    plugin.options.parse({ ...account, ...times, slots: 2, ...more }),
    {
      directory: join(directory, 'environment'),
      variables: process.env,
      now: Date.now,
      warn: () => undefined,
    },
  )
  opened.push(environment)
  return environment
}

function shell(script: string, more: Partial<JobRequest> = {}): JobRequest {
  count += 1
  return {
    id: toJobId(`fault-${process.pid}-${count}`),
    command: ['sh', '-c', script],
    env: {},
    workDirectory: join(directory, 'work'),
    inputs: [],
    outputs: [],
    resources: {},
    ...more,
  }
}

async function submit(
  environment: Environment,
  requests: readonly JobRequest[],
): Promise<readonly JobHandle[]> {
  const outcomes = await environment.submit(requests, noSignal)
  return requests.map(({ id }) => {
    const outcome = outcomes.get(id)
    if (outcome?.kind !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(outcome)}`)
    return outcome.handle
  })
}

/** Goes on asking over errors, as the engine does. */
async function end(environment: Environment, handle: JobHandle): Promise<Observation> {
  let last: unknown
  return until(
    `${handle.id} is over`,
    async () => {
      const seen = await environment
        .observe([handle], noSignal)
        .catch((error: unknown) => void (last = String(error)))
      const observation = seen?.get(handle.id)
      last = observation ?? last
      return observation?.kind === 'queued' || observation?.kind === 'running' ? undefined : observation
    },
    () => last,
    patienceMs,
  )
}

async function insist<T>(work: () => Promise<T>): Promise<T> {
  let last: unknown
  return until(
    'it works again',
    async () => work().catch((error: unknown) => void (last = String(error))),
    () => last,
    patienceMs,
  )
}

const runs = async (server: SshHost, mark: string) =>
  (await server.run(['cat', mark])).stdout.split('\n').filter(Boolean).length

/** Where there is a file `hold`, the next tar there says so in `held`, and waits for the file `go`. */
async function holdTar(server: SshHost): Promise<void> {
  const { home } = server
  const script = `mkdir ${home}/bin && cat >${home}/bin/tar <<'end' && chmod 755 ${home}/bin/tar && echo 'PATH=~/bin:$PATH' >>${home}/.bashrc
#!/bin/sh
if mv ~/hold ~/taken 2>/dev/null; then
  echo x >~/held
  until [ -e ~/go ]; do sleep 0.05; done
fi
exec /usr/bin/tar "$@"
end
`
  const { code, stderr } = await server.run(['sh', '-c', script])
  if (code !== 0) throw new Error(`tar cannot be held: ${stderr}`)
}

/** Bytes that came over the network since the host stands. */
async function received(server: SshHost): Promise<number> {
  const { stdout } = await server.run(['cat', '/proc/net/dev'])
  const counts = stdout.matchAll(/^\s*(\w+):\s*(\d+)/gm)
  return Array.from(counts, ([, name, bytes]) => (name === 'lo' ? 0 : Number(bytes))).reduce(
    (a, b) => a + b,
    0,
  )
}

describeWith('ssh-hosts', 'jobs behind SSH when things break', () => {
  test('a host that cannot be reached for a while: its jobs go on, and each ran once', async () => {
    const [server] = await start(1)
    const environment = await open(server!)
    const mark = `${server!.home}/mark`
    const handles = await submit(
      environment,
      Array.from({ length: 6 }, () => shell(`echo x >> ${mark}; sleep 1; echo done`)),
    )
    await server!.drop()
    const silence = await environment.check(noSignal).catch((error: unknown) => error)
    expect(String(silence)).toMatch(/EnvironmentError.*(cannot be reached|cut off)/)
    const allRan = async () => ((await runs(server!, mark)) === 6 ? true : undefined)
    await until('the jobs went on meanwhile', allRan, undefined, patienceMs)
    await server!.heal()
    for (const handle of handles)
      expect(await end(environment, handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    const collected = await insist(() => environment.collect(handles[0]!, join(directory, 'out'), noSignal))
    expect(readFileSync(collected.stdout, 'utf8')).toBe('done\n')
    expect(await runs(server!, mark)).toBe(6)
  }, 150_000)

  test('cut off in the upload: nothing is half there, and the same jobs then run once', async () => {
    const [server] = await start(1)
    const environment = await open(server!)
    await environment.check(noSignal)
    writeFileSync(join(directory, 'work', 'large'), Buffer.alloc(8_000_000, 'x'))
    const mark = `${server!.home}/mark`
    const requests = Array.from({ length: 3 }, () => shell(`wc -c < large; echo x >> ${mark}`))
    await server!.narrow('8mbit')
    const failing = environment.submit(requests, noSignal).catch((error: unknown) => error)
    await until('the upload is under way', async () =>
      (await server!.processes('tar')).length > 0 ? true : undefined,
    )
    await server!.drop()
    expect(String(await failing)).toMatch(/EnvironmentError/)
    await server!.heal()
    const handles = await insist(() => submit(environment, requests))
    for (const handle of handles) expect(await end(environment, handle)).toMatchObject({ exitCode: 0 })
    const collected = await environment.collect(handles[0]!, join(directory, 'out'), noSignal)
    expect(readFileSync(collected.stdout, 'utf8').trim()).toBe('8000000')
    expect(await runs(server!, mark)).toBe(3)
  }, 150_000)

  test('a large file that was cut off goes on where it stopped', async () => {
    const [server] = await start(1)
    const environment = await open(server!)
    await environment.check(noSignal)
    const size = 16_000_000
    writeFileSync(join(directory, 'work', 'large'), randomBytes(size))
    await server!.narrow('16mbit')
    const failing = environment.submit([shell('wc -c < large')], noSignal).catch((error: unknown) => error)
    const script = `cat ${server!.home}/.molehill/shared/tree.*/part.* | wc -c`
    const arrived = async () => Number((await server!.run(['sh', '-c', script])).stdout)
    const isHalf = async () => ((await arrived()) > size / 2 ? true : undefined)
    await until('half of it is there', isHalf, undefined, patienceMs)
    await server!.revive()
    expect(String(await failing)).toMatch(/EnvironmentError/)
    const isGone = async () => ((await server!.processes('tee')).length === 0 ? true : undefined)
    await until('nobody receives it any more', isGone, undefined, patienceMs)
    await server!.heal()
    const before = await received(server!)
    const [handle] = await insist(() => submit(environment, [shell('wc -c < large')]))
    expect((await received(server!)) - before).toBeLessThan(0.8 * size)
    expect(await end(environment, handle!)).toMatchObject({ exitCode: 0 })
    const collected = await environment.collect(handle!, join(directory, 'out'), noSignal)
    expect(readFileSync(collected.stdout, 'utf8').trim()).toBe(String(size))
  }, 150_000)

  test('jobs arrive and the answer gets lost: they run, and sent again they have run once', async () => {
    const [server] = await start(1)
    await holdTar(server!)
    const environment = await open(server!)
    const mark = `${server!.home}/mark`
    const [first] = await submit(environment, [shell('exit 0')])
    expect(await end(environment, first!)).toMatchObject({ exitCode: 0 })
    const requests = Array.from({ length: 3 }, () =>
      shell(`echo x >> ${mark}; echo y > out; exit 5`, { outputs: [{ path: 'out' }] }),
    )
    await server!.run(['touch', `${server!.home}/hold`])
    const failing = environment.submit(requests, noSignal).catch((error: unknown) => error)
    const isHeld = async () => ((await runs(server!, `${server!.home}/held`)) === 1 ? true : undefined)
    await until('the jobs are being unpacked', isHeld, undefined, patienceMs)
    await server!.mute()
    await server!.run(['touch', `${server!.home}/go`])
    expect(String(await failing)).toMatch(
      /EnvironmentError: The connection was cut off; nobody knows how far/,
    )
    const allRan = async () => ((await runs(server!, mark)) === 3 ? true : undefined)
    await until('the jobs have come and run', allRan, undefined, patienceMs)
    await server!.heal()
    const handles = await insist(() => submit(environment, requests))
    for (const handle of handles) expect(await end(environment, handle)).toMatchObject({ exitCode: 5 })
    for (const handle of handles) {
      const place = join(directory, `out-${handle.id}`)
      await insist(() => environment.collect(handle, place, noSignal))
      expect(readFileSync(join(place, 'out'), 'utf8')).toBe('y\n')
    }
    expect(await runs(server!, mark)).toBe(3)
  }, 150_000)

  test('cut off while outputs come: collecting again brings them whole', async () => {
    const [server] = await start(1)
    const environment = await open(server!)
    const [handle] = await submit(environment, [
      shell('head -c 8000000 /dev/zero | tr "\\0" x > large', { outputs: [{ path: 'large' }] }),
    ])
    expect(await end(environment, handle!)).toMatchObject({ exitCode: 0 })
    await server!.narrow('8mbit')
    const failing = environment
      .collect(handle!, join(directory, 'out'), noSignal)
      .catch((error: unknown) => error)
    await until('outputs are under way', async () =>
      (await server!.processes('tar')).length > 0 ? true : undefined,
    )
    await server!.cut()
    expect(String(await failing)).toMatch(/EnvironmentError/)
    await server!.heal()
    const collected = await insist(() => environment.collect(handle!, join(directory, 'out'), noSignal))
    expect(collected).toMatchObject({ files: ['large'], missing: [] })
    expect(readFileSync(join(directory, 'out', 'large')).equals(Buffer.alloc(8_000_000, 'x'))).toBe(true)
  }, 150_000)

  test('the SSH server is started anew: nobody notices but for a moment', async () => {
    const [server] = await start(1)
    const environment = await open(server!)
    const [handle] = await submit(environment, [shell('sleep 3; exit 5')])
    await server!.revive()
    expect(await end(environment, handle!)).toMatchObject({ kind: 'exited', exitCode: 5 })
  }, 120_000)

  test('a host that died takes its jobs with it: they end with a word, later ones run', async () => {
    const [server] = await start(1)
    const environment = await open(server!)
    const handles = await submit(environment, [
      shell('exec sleep 600'),
      shell('exec sleep 600'),
      shell('exit 3'),
    ])
    await until('two run', async () => ((await server!.processes('sleep')).length >= 2 ? true : undefined))
    await server!.die()
    await server!.revive()
    for (const handle of handles.slice(0, 2)) {
      const ended = await end(environment, handle)
      expect(ended).toMatchObject({ kind: 'stopped', cause: 'unknown' })
      expect(ended).toHaveProperty('message', expect.stringContaining('was killed'))
    }
    expect(await end(environment, handles[2]!)).toMatchObject({ kind: 'exited', exitCode: 3 })
  }, 120_000)

  test('a full disk: jobs wait or fail with a word, and the next ones run when there is room', async () => {
    const [server] = await start(1)
    const place = `${server!.home}/small`
    await server!.run(['sh', '-c', `mkdir ${place} && mount -t tmpfs -o size=2m,mode=777 tmpfs ${place}`])
    const environment = await open(server!, { workDirectory: `${place}/jobs` })
    const [mark, gate] = [`${server!.home}/mark`, `${server!.home}/gate`]
    const script = `echo x > ${mark}; until [ -e ${gate} ]; do sleep 0.1; done; exit 4`
    const [first] = await submit(environment, [shell(script)])
    const isBegun = async () => ((await runs(server!, mark)) === 1 ? true : undefined)
    await until('it runs', isBegun, undefined, patienceMs)
    const [endless] = await submit(environment, [shell('exec timeout 3600 sleep 3600')])
    const endlessOnes = async () => server!.processes('timeout')
    await until('the second one runs', async () => (await endlessOnes())[0], undefined, patienceMs)
    await server!.run(['sh', '-c', `cat /dev/zero > ${place}/fill`])
    await expect(environment.submit([shell('true')], noSignal)).rejects.toThrow(/No space left/)
    expect(await environment.inspect?.(noSignal)).toContainEqual({
      what: 'disk',
      isGood: false,
      message: `0.0 GiB are free below ${place}/jobs.`,
      fix: expect.stringContaining('Free some space'),
    })
    await environment.cancel([endless!], noSignal)
    await until('it is stopped', async () => (await endlessOnes()).length === 0 || undefined, endlessOnes)
    await server!.run(['touch', gate])
    const isOver = async () => ((await server!.processes('sleep')).length === 0 ? true : undefined)
    await until('it is over, and nobody can write down how', isOver, undefined, patienceMs)
    await server!.run(['rm', `${place}/fill`])
    expect(await end(environment, first!)).toMatchObject({ kind: 'exited', exitCode: 4 })
    expect(await end(environment, endless!)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    const [later] = await insist(() => submit(environment, [shell('exit 6')]))
    expect(await end(environment, later!)).toMatchObject({ kind: 'exited', exitCode: 6 })
  }, 120_000)

  test('a work directory that cannot be written is told with its name', async () => {
    const [server] = await start(1)
    const environment = await open(server!, { workDirectory: '/proc/molehill' })
    await expect(environment.check(noSignal)).rejects.toThrow(/\/proc\/molehill/)
    await expect(environment.submit([shell('true')], noSignal)).rejects.toThrow(/\/proc\/molehill/)
  }, 60_000)

  test('runs jobs on a host behind another one', async () => {
    const [server] = await start(1)
    const gateway = await startSshd()
    opened.push({ close: () => gateway.stop() })
    // One key and one file of known hosts for both.
    writeFileSync(gateway.authorizedKeysFile, readFileSync(`${server!.identityFile}.pub`))
    const knownHostsFile = join(directory, 'known_hosts')
    writeFileSync(knownHostsFile, `${gateway.hostKey}\n${server!.hostKey}\n`)
    const jump = `${gateway.user}@${gateway.host}:${gateway.port}`
    const environment = await open(server!, { jump, knownHostsFile })
    const [handle] = await submit(environment, [shell('hostname')])
    expect(await end(environment, handle!)).toMatchObject({ exitCode: 0 })
    const { stdout } = await environment.collect(handle!, join(directory, 'out'), noSignal)
    expect(readFileSync(stdout, 'utf8')).toBe('node1\n')
    expect(await gateway.log()).toContain('Accepted publickey')
  }, 60_000)
})
