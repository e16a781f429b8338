import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAlive, processesWith } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'
import { describeWith } from './present.ts'
import { runCommand, tryCommand } from './run-command.ts'
import { startSlurm, type Slurm } from './slurm.ts'

const jobs = mkdtempSync('/tmp/mhj-')
afterAll(() => rmSync(jobs, { recursive: true, force: true }))

describeWith(['accounting', 'slurmrestd'], 'a Slurm for tests with accounting and slurmrestd', () => {
  let slurm: Slurm
  beforeAll(async () => {
    slurm = await startSlurm({ accounting: true, restd: true, minJobAge: 3 })
  }, 120_000)
  afterAll(async () => {
    const pids = processesWith(slurm.directory)
    await slurm.stop()
    expect(pids.filter(isAlive)).toEqual([])
    expect(existsSync(slurm.directory)).toBe(false)
  })

  const ended = async (id: string) => {
    const command = ['sacct', '-X', '-n', '-P', '-j', id, '-o', 'State,ExitCode']
    let seen = ''
    return until(
      `sacct tells of job ${id}`,
      async () => {
        seen = (await runCommand(command, { variables: slurm.variables })).trim()
        return /COMPLETED|FAILED|CANCELLED|OUT_OF/.test(seen) ? seen : undefined
      },
      () => seen,
      60_000,
    )
  }

  test('sacct tells how a job ended, also when squeue has forgotten it', async () => {
    const { variables } = slurm
    const id = (
      await runCommand(['sbatch', '--parsable', '-D', jobs, '-o', '/dev/null', '--wrap', 'exit 3'], {
        variables,
      })
    ).trim()
    expect(await ended(id)).toBe('FAILED|3:0')
    await until(
      'the job is forgotten',
      async () => (await tryCommand(['squeue', '-h', '-j', id], { variables })).code === 1 || undefined,
      () => 'still there',
      60_000,
    )
    expect(await ended(id)).toBe('FAILED|3:0')
  }, 90_000)

  test('takes a job by REST with a token', async () => {
    const user = 'molehill-test'
    const token = await slurm.token(user)
    const headers = {
      'X-SLURM-USER-NAME': user,
      'X-SLURM-USER-TOKEN': token,
      'Content-Type': 'application/json',
    }
    const answer = await fetch(`${slurm.restUrl}/slurm/v0.0.38/job/submit`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        script: '#!/bin/sh\nexit 5',
        job: {
          current_working_directory: '/tmp',
          standard_output: '/dev/null',
          environment: { PATH: '/usr/bin:/bin' },
        },
      }),
    })
    const { job_id: id } = (await answer.json()) as { job_id: number }
    expect(await ended(String(id))).toBe('FAILED|5:0')
  }, 60_000)
})

describeWith('cgroup', 'a Slurm for tests that watches memory by control groups', () => {
  test('stops a job that takes too much memory, and leaves no group', async () => {
    await using slurm = await startSlurm({ nodes: 1, memoryLimit: 'cgroup' })
    const { variables } = slurm
    const script = 'head -c 300000000 /dev/zero | tail -c 299999999 | wc -c'
    const id = (
      await runCommand(
        ['sbatch', '--parsable', '--mem=50', '-D', jobs, '-o', '/dev/null', '--wrap', script],
        {
          variables,
        },
      )
    ).trim()
    let seen = ''
    await until(
      'the job is stopped',
      async () => {
        seen = (await runCommand(['squeue', '-h', '-t', 'all', '-j', id, '-o', '%T'], { variables })).trim()
        return seen === 'OUT_OF_MEMORY' || undefined
      },
      () => seen,
      60_000,
    )
    await slurm.stop()
    expect((await tryCommand(['sh', '-c', `ls -d /sys/fs/cgroup/*/${slurm.controlGroup}`])).stdout).toBe('')
  }, 90_000)
})
