import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAlive } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'
import { condorTree, startCondor, type Condor } from './condor.ts'
import { describeWith } from './present.ts'
import { runCommand } from './run-command.ts'

describeWith('condor', 'an HTCondor for tests', () => {
  let condor: Condor
  beforeAll(async () => {
    condor = await startCondor()
  }, 120_000)
  afterAll(async () => {
    const pids = await condor.processes()
    expect(pids.length).toBeGreaterThanOrEqual(5)
    await condor.stop()
    expect(pids.filter(isAlive)).toEqual([])
    expect(existsSync(condor.directory)).toBe(false)
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(condor.directory)
    expect(existsSync(`${condorTree}/etc/condor/config.d/99-test`)).toBe(false)
  })

  const description = (home: string, script: string) =>
    [
      'executable = /bin/sh',
      `arguments = "-c '${script}'"`,
      'transfer_executable = false',
      'should_transfer_files = IF_NEEDED',
      `initialdir = ${home}`,
      'output = out',
      'error = err',
      'log = log',
      'queue',
      '',
    ].join('\n')
  const ended = async (cluster: string) => {
    let seen = ''
    return until(
      `condor_history tells of ${cluster}`,
      async () => {
        const command = ['condor_history', cluster, '-af', 'ExitCode']
        seen = (await runCommand([...condor.prefix, ...command])).trim()
        return seen === '' ? undefined : Number(seen)
      },
      () => seen,
      60_000,
    )
  }

  test('runs a job and tells how it ended', async () => {
    const { home, user } = condor.login
    const submit = [...condor.prefix, 'condor_submit', '-terse', '-']
    const answer = await runCommand(submit, { input: description(home, 'id -un; exit 3') })
    expect(await ended(answer.split('.')[0] ?? '')).toBe(3)
    expect(readFileSync(join(home, 'out'), 'utf8')).toBe(`${user}\n`)
  }, 90_000)

  test('runs a job over SSH after it was killed and started again', async () => {
    await condor.restart()
    const ssh = ['ssh', '-F', condor.login.configFile, condor.login.alias, 'condor_submit -terse -']
    const answer = await runCommand(ssh, { input: description(condor.login.home, 'exit 4') })
    expect(await ended(answer.split('.')[0] ?? '')).toBe(4)
  }, 120_000)
})
