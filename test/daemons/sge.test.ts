import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAlive } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'
import { describeWith } from './present.ts'
import { runCommand, tryCommand } from './run-command.ts'
import { startSge, type Sge } from './sge.ts'

const jobs = mkdtempSync('/tmp/mhj-')
afterAll(() => rmSync(jobs, { recursive: true, force: true }))

describeWith('sge', 'an SGE for tests', () => {
  let sge: Sge
  beforeAll(async () => {
    await chmod(jobs, 0o777)
    sge = await startSge()
  }, 60_000)
  afterAll(() => sge?.stop())

  const submit = async (cluster: Sge, script: string, ...options: string[]) =>
    (
      await runCommand([...cluster.prefix, 'qsub', '-terse', '-r', 'n', '-wd', jobs, ...options], {
        input: script,
      })
    ).trim()
  const ended = async (cluster: Sge, id: string) => {
    const accounting = await until(
      `qacct tells of job ${id}`,
      async () => {
        const { code, stdout } = await tryCommand([...cluster.prefix, 'qacct', '-j', id])
        return code === 0 ? stdout : undefined
      },
      () => 'nothing',
      60_000,
    )
    return Number(/^exit_status +(\d+)/m.exec(accounting)?.[1])
  }

  test('runs a job and tells how it ended', async () => {
    const id = await submit(sge, 'echo $JOB_ID; exit 3\n', '-o', join(jobs, 'out'), '-e', '/dev/null')
    expect(await ended(sge, id)).toBe(3)
    expect(readFileSync(join(jobs, 'out'), 'utf8')).toBe(`${id}\n`)
  }, 60_000)

  test('keeps the temporary files of jobs where they go with it', async () => {
    const id = await submit(sge, 'echo $TMP\n', '-o', join(jobs, 'temporary'), '-e', '/dev/null')
    expect(await ended(sge, id)).toBe(0)
    expect(readFileSync(join(jobs, 'temporary'), 'utf8')).toBe(`${sge.directory}/tmp/${id}.1.all.q\n`)
  }, 60_000)

  test('runs jobs of an ordinary user over SSH, in a parallel environment', async () => {
    const ssh = (command: string) => runCommand(['ssh', '-F', sge.login.configFile, sge.login.alias, command])
    const script = "echo 'id -un; echo $NSLOTS'"
    const id = (await ssh(`${script} | qsub -terse -cwd -j y -o user.out -pe smp 2`)).trim()
    expect(await ended(sge, id)).toBe(0)
    expect(await ssh('cat user.out')).toBe(`${sge.login.user}\n2\n`)
  }, 60_000)

  test('goes on with its jobs while the master is away', async () => {
    await submit(sge, 'exec sleep 600\n', '-o', '/dev/null', '-e', '/dev/null')
    const job = await until('the job runs', async () => (await sge.processes('sleep'))[0])
    await sge.stopMaster('SIGKILL')
    expect((await tryCommand([...sge.prefix, 'qstat'])).code).not.toBe(0)
    await sge.startMaster()
    expect(await runCommand([...sge.prefix, 'qstat', '-s', 'r'])).toContain('all.q@sge')
    expect(await sge.processes('sleep')).toEqual([job])
  }, 60_000)

  test('two run at once, and nothing is left of them', async () => {
    const other = await startSge({ slots: 2 })
    expect(await submit(other, 'exec sleep 600\n', '-o', '/dev/null', '-e', '/dev/null')).toBe('1')
    await until('the job runs', async () => (await other.processes('sleep')).length === 1 || undefined)
    const pids = await other.processes()
    expect(pids.length).toBeGreaterThanOrEqual(4)
    await other.stop()
    expect(pids.filter(isAlive)).toEqual([])
    expect(existsSync(other.directory)).toBe(false)
    expect(await runCommand(['ip', 'route'])).not.toContain(other.login.host)
  }, 90_000)
})
