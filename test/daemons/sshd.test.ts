import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { isAlive } from '../conformance/processes.ts'
import { describeWith } from './present.ts'
import { runCommand, tryCommand } from './run-command.ts'
import { startSshd, type Sshd } from './sshd.ts'

const ssh = (server: Sshd, command: string) =>
  tryCommand(['ssh', '-F', server.configFile, server.alias, command], { timeoutMs: 20_000 })

describeWith('sshd', 'an SSH server for tests', () => {
  test('runs commands by key and by password, in a home of its own', async () => {
    await using server = await startSshd()
    expect((await ssh(server, 'id -un; pwd; exit 7')).stdout).toBe(`${server.user}\n${server.home}\n`)
    expect((await ssh(server, 'exit 7')).code).toBe(7)
    const byPassword = ['-o', 'BatchMode=no', '-o', 'PubkeyAuthentication=no']
    const command = [
      'sshpass',
      '-p',
      server.password,
      'ssh',
      '-F',
      server.configFile,
      ...byPassword,
      server.alias,
    ]
    expect(await runCommand([...command, 'echo in'])).toBe('in\n')
    expect(readFileSync(server.knownHostsFile, 'utf8')).toBe(`${server.hostKey}\n`)
  })

  test('greets, has an odd locale and variables, and limits channels', async () => {
    await using server = await startSshd({
      greeting: "Welcome to John's cluster",
      locale: 'xx_XX.UTF-8',
      variables: { SLURM_CONF: '/a path/slurm.conf', OTHER: 'x' },
      maxSessions: 1,
    })
    const { stdout, stderr } = await ssh(server, 'echo "$LC_ALL|$SLURM_CONF|$OTHER"')
    expect(stdout).toBe("Welcome to John's cluster\nxx_XX.UTF-8|/a path/slurm.conf|x\n")
    expect(stderr).toContain('setlocale')
    expect(readFileSync(`${server.directory}/sshd_config`, 'utf8')).toContain('MaxSessions 1\n')
  })

  test('is paused and resumed, killed and started again while a job goes on', async () => {
    await using server = await startSshd()
    const { stdout } = await ssh(server, 'echo begun; nohup sleep 987 >/dev/null 2>&1 &')
    expect(stdout).toBe('begun\n')
    const job = await until('the job runs', async () => (await server.processes('sleep'))[0])
    await server.pause()
    const waiting = ssh(server, 'echo late')
    await expect(Promise.race([waiting, settle(300)])).resolves.toBe('nothing')
    await server.resume()
    expect((await waiting).stdout).toBe('late\n')
    await server.kill()
    expect((await ssh(server, 'true')).stderr).toContain('refused')
    await server.restart()
    expect((await ssh(server, 'echo back')).stdout).toBe('back\n')
    expect(await server.processes('sleep')).toEqual([job])
  })

  test('several run at once, and nothing is left of them', async () => {
    const servers = await Promise.all([startSshd(), startSshd(), startSshd()])
    expect(new Set(servers.map(({ port }) => port)).size).toBe(3)
    await Promise.all(servers.map((server) => ssh(server, 'setsid sleep 987 >/dev/null 2>&1 &')))
    const pids = (await Promise.all(servers.map((server) => server.processes()))).flat()
    expect(pids.length).toBeGreaterThanOrEqual(6)
    await Promise.all(servers.map((server) => server.stop()))
    expect(pids.filter(isAlive)).toEqual([])
    expect(servers.filter(({ directory }) => existsSync(directory))).toEqual([])
    const mounts = readFileSync('/proc/mounts', 'utf8')
    expect(servers.filter(({ directory }) => mounts.includes(directory))).toEqual([])
  })

  test('nothing is left when the test is killed', async () => {
    const program = `
      import { startSshd } from ${JSON.stringify(import.meta.resolve('./sshd.ts'))}
      const server = await startSshd()
      console.log(JSON.stringify([server.directory, await server.processes()]))
      process.kill(process.pid, 'SIGKILL')`
    const { code, stdout } = await tryCommand([process.execPath, '--input-type=module', '--eval', program])
    expect(code).toBe(137)
    const [directory, pids] = JSON.parse(stdout) as [string, number[]]
    expect(pids.length).toBeGreaterThanOrEqual(1)
    await until('all is gone', () => (pids.some(isAlive) || existsSync(directory) ? undefined : true))
  })
})

const settle = (ms: number) => new Promise((resolve) => void setTimeout(resolve, ms, 'nothing'))
