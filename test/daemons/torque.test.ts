import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { describeWith } from './present.ts'
import { runCommand } from './run-command.ts'
import { startTorque } from './torque.ts'

const jobs = mkdtempSync('/tmp/mhj-')
afterAll(() => rmSync(jobs, { recursive: true, force: true }))

describeWith('torque', "Torque's commands for tests", () => {
  test('submit a job, show it and tell it where it is', async () => {
    await using torque = await startTorque({ nodes: 1 })
    const { variables } = torque
    const script = join(jobs, 'script')
    const output = join(jobs, 'out')
    writeFileSync(script, '#!/bin/sh\necho "$PBS_JOBID $PBS_JOBNAME"\n', { mode: 0o755 })
    const qsub = ['qsub', '-N', 'named', '-o', output, '-e', join(jobs, 'err'), script]
    const id = (await runCommand(qsub, { variables })).trim()
    let seen = ''
    await until(
      'the job has ended',
      async () => {
        seen = await runCommand(['qstat', '-f', id], { variables })
        return seen.includes('job_state = C') || undefined
      },
      () => seen,
      60_000,
    )
    expect(seen).toContain('Job_Name = named')
    expect(readFileSync(output, 'utf8')).toBe(`${id} named\n`)
  }, 90_000)
})
