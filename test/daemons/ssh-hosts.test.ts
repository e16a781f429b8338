import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAlive } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'
import { describeWith } from './present.ts'
import { runCommand, tryCommand } from './run-command.ts'
import { startSshHosts, type SshHost, type SshHosts } from './ssh-hosts.ts'

describeWith('ssh-hosts', 'several SSH hosts for tests', () => {
  let all: SshHosts
  beforeAll(async () => {
    all = await startSshHosts(3)
  }, 60_000)
  afterAll(() => all?.stop())

  const ssh = ({ alias }: SshHost, command: string, timeout = 10) =>
    tryCommand(['ssh', '-F', all.configFile, '-o', `ConnectTimeout=${timeout}`, alias, command])
  const [one, two] = [() => all.hosts[0]!, () => all.hosts[1]!]

  test('each has its name, home, scratch and temporary directory', async () => {
    for (const host of all.hosts) {
      const { stdout } = await ssh(
        host,
        'hostname; pwd; echo $USER > /tmp/who; echo x > /srv/scratch/x; ls /tmp/who',
      )
      expect(stdout).toBe(`${host.alias}\n/home/${host.user}\n/tmp/who\n`)
      expect(readFileSync(host.pathOutside('/tmp/who'), 'utf8')).toBe(`${host.user}\n`)
    }
    writeFileSync(one().pathOutside(`${one().home}/only-here`), '')
    expect((await ssh(one(), 'ls only-here')).code).toBe(0)
    expect((await ssh(two(), 'ls only-here')).code).toBe(2)
    expect(existsSync('/tmp/who')).toBe(false)
  })

  test.each(['cut', 'mute', 'drop'] as const)(
    'a host is lost (%s) and healed, its job goes on',
    async (fault) => {
      await ssh(one(), `setsid sleep 321 >/dev/null 2>&1 &`)
      const jobs = await until('the job runs', async () => {
        const pids = await one().processes('sleep')
        return pids.length === 1 ? pids : undefined
      })
      await one()[fault]()
      expect((await ssh(one(), 'true', 2)).code).toBe(255)
      expect((await ssh(two(), 'echo fine')).stdout).toBe('fine\n')
      await one().heal()
      expect((await ssh(one(), 'echo back')).stdout).toBe('back\n')
      expect(await one().processes('sleep')).toEqual(jobs)
      await one().run(['pkill', '-x', 'sleep'])
      await until('the job is gone', async () =>
        (await one().processes('sleep')).length === 0 ? true : undefined,
      )
    },
  )

  test('loses packets and gets narrow, and is healed', async () => {
    await one().lose(10)
    await one().heal()
    await one().narrow('8mbit')
    const before = performance.now()
    expect((await ssh(one(), 'head -c 2000000 /dev/zero | wc -c; head -c 2000000 /dev/zero')).code).toBe(0)
    expect(performance.now() - before).toBeGreaterThan(1000)
    await one().heal()
  })

  test('dies with its jobs and comes back with its files', async () => {
    await ssh(one(), `echo kept > /srv/scratch/kept; setsid sleep 321 >/dev/null 2>&1 &`)
    await one().die()
    expect(await one().processes()).toEqual([])
    expect((await ssh(one(), 'true')).code).toBe(255)
    await one().revive()
    expect((await ssh(one(), 'cat /srv/scratch/kept')).stdout).toBe('kept\n')
    expect(await one().processes('sleep')).toEqual([])
  })

  test('nothing is left: no process, device, route or file', async () => {
    const others = await startSshHosts(2)
    const pids = (await Promise.all(others.hosts.map((host) => host.processes()))).flat()
    const addresses = others.hosts.map(({ host }) => host)
    const known = async () => runCommand(['sh', '-c', 'ip -o addr; ip route'])
    const network = (address: string) => address.replace(/\d+$/, (last) => String(Number(last) - 1))
    for (const address of addresses) expect(await known()).toContain(`${network(address)}/30`)
    await others.stop()
    for (const address of addresses) expect(await known()).not.toContain(`${network(address)}/30`)
    for (const address of addresses)
      expect(await known()).not.toContain(
        `unreachable ${address.replace(/\d+$/, (last) => String(Number(last) - 2))}/30`,
      )
    expect(pids.filter(isAlive)).toEqual([])
    expect(existsSync(others.configFile)).toBe(false)
  })
})
