import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { makeBatch, said } from '../../test/helpers/batch.ts'
import type { Batch } from '../../src/environment/batch/scheduler.ts'
import { directiveShape } from './options.ts'
import { tasksIn } from './qstat-xml.ts'
import { sgeScheduler } from './scheduler.ts'
import { describeBatchPlugin } from '../../test/conformance/batch-plugin.ts'
import { plugin } from './index.ts'
import { sge as word } from './language.ts'

describeBatchPlugin(plugin, word)

const schema = z.strictObject(directiveShape)
const sge = sgeScheduler(schema.parse({}))

const place = '/home/ada/b-7f3a'
const batch = (more: Partial<Batch> = {}) =>
  makeBatch({ name: 'b-7f3a', directory: place, logPath: `${place}/log`, ...more })

test.each([
  ['plain', {}, batch({ size: 1 })],
  [
    'all',
    {
      queue: 'all.q,long.q',
      project: 'physics',
      parallelEnvironment: 'shared',
      resources: ['gpu=1', 'hostname=node7'],
      extraDirectives: ['-m e'],
    },
    batch({ resources: { cpus: 4, memoryBytes: 2 ** 32, wallTimeMs: 5_400_000 } }),
  ],
  [
    'asked',
    {},
    batch({
      resources: { cpus: 1, memoryBytes: 1_500_000, wallTimeMs: 1500 },
      directory: '/home/a "b"',
      logPath: '/home/a "b"/log',
    }),
  ],
])('the script of a batch: %s', async (name, options, given) => {
  const text = `#!/bin/bash\n${sgeScheduler(schema.parse(options)).directives(given).join('\n')}\nexit 0\n`
  await expect(text).toMatchFileSnapshot(`golden/${name}.sh`)
  expect(spawnSync('bash', ['-n'], { input: text }).status).toBe(0)
})

test('one id answers for all tasks, whatever a login prints before it', () => {
  const accepted = { kind: 'accepted', nativeIds: ['19.1', '19.2', '19.3'] }
  expect(sge.readSubmitted(said('Welcome 2026!\n19.1-3:1\n'), batch())).toEqual(accepted)
})

test.each([
  ['Unable to run job: Job was rejected because job requests unknown queue "nosuch"\nExiting.', 'rejected'],
  ['Unable to run job: unknown resource "nosuch"\nExiting.', 'rejected'],
  [
    'Unable to run job: job rejected: the requested parallel environment "x" does not exist\nExiting.',
    'rejected',
  ],
  ['Unable to run job: job rejected: the requested project "x" does not exist\nExiting.', 'rejected'],
  ['Unable to run job: error: no suitable queues\nExiting.', 'rejected'],
  [
    'Unable to run job: job rejected: only 100 jobs are allowed per user (current job count: 100, job limit: 100)\nExiting.',
    'deferred',
  ],
])('a refused batch: %s', (words, kind) => {
  expect(sge.readSubmitted(said('', words, 1), batch())).toEqual({
    kind,
    reason: words.replaceAll('\n', ' '),
  })
})

test.each([
  said('', '', 0),
  said('', 'qsub: command not found', 127),
  said('', 'error: commlib error: got no connection\nUnable to run job: unable to contact qmaster.', 1),
])('a submission whose fate is not known throws: %j', (result) => {
  expect(() => sge.readSubmitted(result, batch())).toThrow(/^qsub /)
})

function row(id: string, state: string, tasks: string, queue = '', name = 'b-7f3a'): string {
  return `    <job_list state="x">
      <JB_job_number>${id}</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>${name}</JB_name>
      <JB_owner>ada</JB_owner>
      <state>${state}</state>
      <queue_name>${queue}</queue_name>
      <slots>1</slots>
      <tasks>${tasks}</tasks>
    </job_list>
`
}

function answer(...rows: readonly string[]): string {
  return `<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
${rows[0] ?? ''}  </queue_info>
  <job_info>
${rows.slice(1).join('')}  </job_info>
</job_info>
`
}

test.each([
  ['qw', { kind: 'queued' }],
  ['hqw', { kind: 'queued', reason: 'held in SGE (hqw)' }],
  ['Rq', { kind: 'queued' }],
  ['hRwq', { kind: 'queued' }],
  ['t', { kind: 'running', host: 'node7' }],
  ['r', { kind: 'running', host: 'node7' }],
  ['Rr', { kind: 'running' }],
  ['s', { kind: 'running' }],
  ['S', { kind: 'running' }],
  ['T', { kind: 'running' }],
  ['dr', { kind: 'running' }],
  ['dRr', { kind: 'running' }],
  ['Eqw', { kind: 'stuck', stopped: { kind: 'stopped', cause: 'unknown' } }],
  ['Ehqw', { kind: 'stuck' }],
  ['dEqw', { kind: 'stuck' }],
  ['z', { kind: 'ended' }],
  ['Ω', { kind: 'unclear', message: expect.stringContaining('Ω') }],
])('in the list, %s is told', (state, listing) => {
  const rows = sge.readList(said(answer(row('19', state, '2', 'all.q@node7'))))
  expect(rows.get('19.2')).toMatchObject({ batchName: 'b-7f3a', index: 1, listing })
})

test('waiting tasks share a row, and the reason of an error is told', () => {
  const text = `Mail waits.\n${answer(
    row('9', 'r', '1', 'all.q@vm'),
    row('9', 'qw', '17-19:1,22', ''),
    row('8', 'Eqw', '1,2', '', 'a&amp;b'),
  )}job_number:                 8
error reason          1:      11/22/2026 03:38:53 [0:29742]: error: can't chdir to /nowhere/x: No such file or directory
`
  const rows = sge.readList(said(text))
  expect([...rows.keys()]).toEqual(['9.1', '9.17', '9.18', '9.19', '9.22', '8.1', '8.2'])
  expect(rows.get('8.1')).toEqual({
    batchName: 'a&b',
    index: 0,
    listing: {
      kind: 'stuck',
      stopped: {
        kind: 'stopped',
        cause: 'unknown',
        message:
          "SGE could not start the job (state Eqw): can't chdir to /nowhere/x: No such file or directory.",
      },
    },
  })
  expect(rows.get('8.2')?.listing).toMatchObject({
    stopped: { message: expect.stringContaining('no reason') },
  })
})

test('an empty queue is empty; an answer that failed, is cut or missing throws', () => {
  const whole = answer(row('9', 'r', '1'), row('9', 'qw', '2'))
  expect(sge.readList(said(answer())).size).toBe(0)
  expect(() => sge.readList(said(whole.slice(0, whole.lastIndexOf('</job_info>\n</job_info>'))))).toThrow(
    'no whole answer',
  )
  expect(() => sge.readList(said(''))).toThrow('no whole answer')
  expect(() => sge.readList(said('', 'error: commlib error: got no connection', 1))).toThrow('no connection')
})

/** As qacct prints it, shortened. */
function record(job: number, task: number | string, failed: string, exitStatus: string): string {
  return `==============================================================
qname        all.q
hostname     vm
jobname      b-one
jobnumber    ${job}
taskid       ${task}
failed       ${failed}
exit_status  ${exitStatus}
ru_wallclock 1s
`
}

test.each([
  ['0    ', '3                   ', { kind: 'ended', exitCode: 3 }],
  [
    '100 : assumedly after job',
    '137                  (Killed)',
    { kind: 'stopped', cause: 'signal', message: expect.stringContaining('signal 9') },
  ],
  ['100 : assumedly after job', '143', { kind: 'stopped', message: expect.stringContaining('signal 15') }],
  ['37  : qmaster enforced h_rt, h_cpu, or h_vmem limit', '137', { kind: 'stopped', cause: 'timeout' }],
  [
    '26  : opening input/output file',
    '0',
    { kind: 'stopped', cause: 'unknown', message: expect.stringContaining('opening input/output') },
  ],
  ['30  : rescheduling on application error', '100', { kind: 'stopped', cause: 'unknown' }],
])('in the accounting, failed %s with %s is told', (failed, exitStatus, listing) => {
  const read = sge.readAccount!(said(record(1, 2, failed, exitStatus)))
  expect([...read]).toEqual([['1.2', expect.objectContaining(listing)]])
})

test('the last record of a task counts, and one of rescheduling is no end', () => {
  const twice = record(1, 1, '25  : rescheduling', '99') + record(1, 1, '0', '0')
  expect([...sge.readAccount!(said(twice))]).toEqual([['1.1', { kind: 'ended', exitCode: 0 }]])
  expect(sge.readAccount!(said(record(1, 1, '0', '0') + record(1, 1, '25 : rescheduling', '99'))).size).toBe(
    0,
  )
})

test('jobs that accounting does not know yet are left out', () => {
  const text = `error: job id 999 not found\n${record(1, 'undefined', '0', '0')}`
  expect([...sge.readAccount!(said(text)).keys()]).toEqual(['1.1'])
  expect(sge.readAccount!(said('error: job id 999 not found\n')).size).toBe(0)
})

test('a record of a job that has had the number before tells nothing', () => {
  const text = `${record(1, 1, '0', '0').replace('b-one', 'b-two')}${record(1, 1, '25 : rescheduling', '99')}`
  expect([...sge.readAccount!(said(text), (_, name) => name === 'b-two').keys()]).toEqual(['1.1'])
  expect(sge.readAccount!(said(text), (_, name) => name === 'b-one').size).toBe(0)
})

test('deleting what is gone is silent; a master that is away is told', () => {
  expect(() => sge.readCancelled(said('denied: job "999" does not exist\n', '', 1))).not.toThrow()
  expect(() => sge.readCancelled(said('', 'error: commlib error: got no connection\n', 1))).toThrow(
    'got no connection',
  )
  expect(sge.cancel(['9.1', '9.2']).argv).toEqual(['qdel', '9.1', '9.2'])
})

test('a check looks at the queue', () => {
  const text = `CLUSTER QUEUE                   CQLOAD   USED    RES  AVAIL  TOTAL aoACDS  cdsuE
--------------------------------------------------------------------------------
all.q                             3.17      0      0     16     16      0      0
`
  const check = (queue: string) => sgeScheduler(schema.parse({ queue })).readCheck(said(text))
  expect(check('all.q')).toBeUndefined()
  expect(check('all.q@node7')).toBeUndefined()
  expect(check('long.q')).toContain('SGE has: all.q')
  expect(sge.readCheck(said('', 'error: commlib', 1))).toContain('qstat failed')
})

test('a check asks whether a job with the options would be taken, and submits none', () => {
  const batch = { name: 'molehill-check', size: 1, directory: '/', logPath: '/dev/null', resources: {} }
  const command = sgeScheduler(schema.parse({ project: 'physics' })).verify!(batch)
  expect(command.argv.join(' ')).toContain('-w v')
  expect(command.input).toContain('#$ -P physics\n')
  expect(command.input).not.toContain('-w e')
  expect(sge.readVerified!(said('verification: found suitable queue(s)\n'))).toBeUndefined()
  const words = 'Unable to run job: job rejected: the requested project "physics" does not exist\nExiting.'
  expect(sge.readVerified!(said('', words, 1))).toContain('does not exist')
})

test('tasks of arrays from before the option became smaller are listed', () => {
  const smaller = sgeScheduler(schema.parse({ maxArraySize: 2 }))
  const rows = smaller.readList(said(answer('', row('7', 'qw', '1-3:1,600'))))
  expect([...rows.keys()]).toEqual(['7.1', '7.2', '7.3', '7.600'])
})

test('task numbers are bounded', () => {
  expect(tasksIn('1-9999999:3,x', 8)).toEqual([1, 4, 7])
})

test.each([
  { queue: 'a q' },
  { resources: ['a=1 -sync y'] },
  { extraDirectives: ['-t 1-9'] },
  { extraDirectives: ['-r y'] },
  { extraDirectives: ['-m e -N other'] },
  { extraDirectives: ['-m e\n-N other'] },
  { gpus: 1 },
])('options that cannot be meant are refused: %j', (options) => {
  expect(schema.safeParse(options).success).toBe(false)
})
