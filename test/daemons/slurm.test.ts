import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAlive, processesWith } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'
import { describeWith } from './present.ts'
import { runCommand, tryCommand } from './run-command.ts'
import { startSlurm, type Slurm } from './slurm.ts'
import { startSshd } from './sshd.ts'

const jobs = mkdtempSync('/tmp/mhj-')
afterAll(() => rmSync(jobs, { recursive: true, force: true }))

const submit = async ({ variables }: Slurm, ...rest: string[]) =>
  (await runCommand(['sbatch', '--parsable', '--no-requeue', '-D', jobs, ...rest], { variables })).trim()
const state = async ({ variables }: Slurm, id: string) =>
  (await tryCommand(['squeue', '-h', '-t', 'all', '-j', id, '-o', '%T'], { variables })).stdout.trim()
const untilState = (slurm: Slurm, id: string, wished: string) => {
  let seen = ''
  const probe = async () => ((seen = await state(slurm, id)) === wished ? true : undefined)
  return until(`job ${id} is ${wished}`, probe, () => seen, 60_000)
}

describeWith('slurm', 'a Slurm for tests', () => {
  let slurm: Slurm
  beforeAll(async () => {
    await chmod(jobs, 0o777)
    slurm = await startSlurm()
  }, 60_000)
  afterAll(() => slurm?.stop())

  test('runs a job and tells how it ended', async () => {
    const id = await submit(
      slurm,
      '-o',
      join(jobs, 'out'),
      '--wrap',
      'hostname >/dev/null; echo $SLURM_JOB_ID; exit 3',
    )
    await untilState(slurm, id, 'FAILED')
    expect(readFileSync(join(jobs, 'out'), 'utf8')).toBe(`${id}\n`)
  })

  test('runs jobs of an ordinary user over SSH', async () => {
    await using login = await startSshd({ variables: slurm.variables })
    const onLogin = async (command: string) =>
      runCommand(['ssh', '-F', login.configFile, login.alias, command])
    const id = (await onLogin('sbatch --parsable -o user.out --wrap "id -un; pwd"')).trim()
    await untilState(slurm, id, 'COMPLETED')
    expect(await onLogin('cat user.out')).toBe(`${login.user}\n${login.home}\n`)
  })

  test('goes on with its jobs while the controller is away', async () => {
    const id = await submit(slurm, '-o', '/dev/null', '--wrap', 'sleep 600')
    await untilState(slurm, id, 'RUNNING')
    await slurm.stopController()
    const { code, stderr } = await tryCommand(['squeue', '-h'], {
      variables: slurm.variables,
      timeoutMs: 2000,
    })
    expect([code, stderr]).not.toEqual([0, ''])
    await slurm.startController()
    await untilState(slurm, id, 'RUNNING')
    await slurm.stopController('SIGKILL')
    await slurm.startController()
    expect(await slurm.signalJob(id, 'SIGKILL')).toBeGreaterThanOrEqual(2)
    await untilState(slurm, id, 'FAILED')
  }, 60_000)

  test('loses a node with its jobs, and gets it back', async () => {
    const id = await submit(slurm, '-w', 'n2', '-o', '/dev/null', '--wrap', 'sleep 654')
    await untilState(slurm, id, 'RUNNING')
    await until('the job runs', () => (processesWith(`SLURM_JOB_ID=${id}\0`).length > 0 ? true : undefined))
    await slurm.killNode('n2', { noticed: true })
    await untilState(slurm, id, 'NODE_FAIL')
    await slurm.startNode('n2')
    await untilState(slurm, await submit(slurm, '-w', 'n2', '-o', '/dev/null', '--wrap', 'true'), 'COMPLETED')
  }, 60_000)

  test('two run at once, and nothing is left of them', async () => {
    const both = await Promise.all([startSlurm({ nodes: 1 }), startSlurm({ nodes: 2 })])
    for (const each of both) {
      const id = await submit(each, '-o', '/dev/null', '--wrap', 'sleep 600')
      expect(id).toBe('1')
      await untilState(each, id, 'RUNNING')
    }
    const pids = both.flatMap(({ directory }) => processesWith(directory))
    expect(pids.length).toBeGreaterThanOrEqual(2)
    await Promise.all(both.map((each) => each.stop()))
    expect(pids.filter(isAlive)).toEqual([])
    expect(both.filter(({ directory }) => existsSync(directory))).toEqual([])
  }, 60_000)
})
