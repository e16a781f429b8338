import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { makeBatch, said } from '../../test/helpers/batch.ts'
import { directiveShape } from './options.ts'
import { pbsScheduler } from './scheduler.ts'
import { describeBatchPlugin } from '../../test/conformance/batch-plugin.ts'
import { plugin } from './index.ts'
import { pbs as word } from './language.ts'

describeBatchPlugin(plugin, (options) => word({ ...options, flavour: 'torque' }))

const schema = z.strictObject(directiveShape)
const pro = pbsScheduler(schema.parse({ flavour: 'pbspro' }))
const torque = pbsScheduler(schema.parse({ flavour: 'torque' }))
const resources = { cpus: 4, memoryBytes: 2 ** 31, gpus: 1, nodes: 2, wallTimeMs: 95_400_500 }

test.each(
  ['torque', 'pbspro'].flatMap((flavour) => [
    [flavour, 'plain', {}, makeBatch({ size: 1 })] as const,
    [
      flavour,
      'all',
      { queue: 'long', account: 'physics', project: 'waves', extraDirectives: ['-m e', '-l place=excl'] },
      makeBatch({ resources }),
    ] as const,
    [flavour, 'odd', {}, makeBatch({ size: 2, resources: { cpus: 2 }, logPath: '/home/a "b"/log' })] as const,
  ]),
)('the script of a batch: %s, %s', async (flavour, name, options, given) => {
  const scheduler = pbsScheduler(schema.parse({ flavour, ...options }))
  const text = `#!/bin/bash\n${scheduler.directives(given).join('\n')}\nexit 0\n`
  await expect(text).toMatchFileSnapshot(`golden/${flavour}-${name}.sh`)
  expect(spawnSync('bash', ['-n'], { input: text }).status).toBe(0)
})

test.each([
  ['1234[].pbs.example.org\n', 3, ['1234[0]', '1234[1]', '1234[2]']],
  ['Welcome to 2026.\n1234.pbs\n', 1, ['1234']],
  // The wrappers over Slurm name no server.
  ['17\n', 1, ['17']],
  ['17\n', 2, ['17[0]', '17[1]']],
])('%j is the id of a batch', (stdout, size, nativeIds) => {
  expect(pro.readSubmitted(said(stdout), makeBatch({ size }))).toEqual({ kind: 'accepted', nativeIds })
})

test.each([
  ['qsub: Unknown queue', 'rejected'],
  ['qsub: Job violates queue and/or server resource limits', 'rejected'],
  ['qsub: submit error (Unauthorized Request  MSG=user does not belong to specified account)', 'rejected'],
  ["qsub: would exceed queue generic's per-user limit of jobs in 'Q' state", 'deferred'],
  [
    'qsub: Maximum number of jobs already in queue for user MSG=total number of current user jobs exceeds the queue limit',
    'deferred',
  ],
  ['qsub: Queue is not enabled', 'deferred'],
  ['qsub: Illegal request, server shutting down', 'deferred'],
])('a refused batch: %s', (words, kind) => {
  expect(torque.readSubmitted(said('', words, 170), makeBatch())).toEqual({
    kind,
    reason: words.replaceAll(/\s+/g, ' '),
  })
})

test.each([
  said('', '', 0),
  said('', 'Connection refused\nqsub: cannot connect to server pbs (errno=111)', 111),
  said('', 'Cannot connect to specified server host pbs.\nqsub: Unknown error', 1),
  said('', 'qsub: command not found', 127),
])('a submission whose fate is not known throws: %j', (result) => {
  expect(() => pro.readSubmitted(result, makeBatch())).toThrow(/^qsub /)
})

/** As PBS Professional prints it, shortened; a tab goes on with a long value. */
function record(id: string, attributes: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ Job_Name: 'm7f3a', Job_Owner: 'ada@login', ...attributes })
  return [
    `Job Id: ${id}`,
    ...lines.map(([name, value]) => `    ${name} = ${value}`),
    '    Variable_List = PBS_O_HOME=/home/ada,PBS_O_LANG=C,\n\tPBS_O_PATH=/usr/bin:/bin,QUOTED="a\'b"',
    '',
    '',
  ].join('\n')
}

test.each([
  [{ job_state: 'Q' }, { kind: 'queued' }],
  [
    { job_state: 'Q', comment: 'Not Running: Insufficient amount of resource: ncpus' },
    { kind: 'queued', reason: 'Not Running: Insufficient amount of resource: ncpus' },
  ],
  [{ job_state: 'W' }, { kind: 'queued' }],
  [{ job_state: 'T' }, { kind: 'queued' }],
  [{ job_state: 'H' }, { kind: 'queued', reason: 'held' }],
  [
    { job_state: 'R', exec_host: 'node7/0*2+node8/0*2' },
    { kind: 'running', host: 'node7' },
  ],
  [
    { job_state: 'R', exec_host: 'node7/0+node7/1' },
    { kind: 'running', host: 'node7' },
  ],
  [{ job_state: 'E' }, { kind: 'running' }],
  [{ job_state: 'S' }, { kind: 'running' }],
  [{ job_state: 'U' }, { kind: 'running' }],
  [
    { job_state: 'F', Exit_status: '0' },
    { kind: 'ended', exitCode: 0 },
  ],
  [{ job_state: 'F' }, { kind: 'ended' }],
  [
    { job_state: 'X', Exit_status: '3' },
    { kind: 'ended', exitCode: 3 },
  ],
  [
    { job_state: 'F', Exit_status: '271', substate: '91' },
    { kind: 'stopped', cause: 'cancelled' },
  ],
  [
    { job_state: 'F', Exit_status: '265' },
    { kind: 'stopped', cause: 'signal', message: expect.stringContaining('signal 9') },
  ],
  [
    { job_state: 'F', Exit_status: '-29' },
    { kind: 'stopped', cause: 'timeout' },
  ],
  [
    { job_state: 'F', Exit_status: '-27' },
    { kind: 'stopped', cause: 'out-of-memory' },
  ],
  [
    { job_state: 'F', Exit_status: '-1', comment: 'Job held, too many failed attempts to run' },
    { kind: 'stopped', cause: 'unknown', message: expect.stringContaining('too many failed attempts') },
  ],
  [{ job_state: '?' }, { kind: 'unclear' }],
])('with PBS Pro %j is told', (attributes, listing) => {
  const text = record('1234[2].pbs.example.org', attributes)
  expect(pro.readList(said(text)).get('1234[2]')).toMatchObject({ batchName: 'm7f3a', index: 2, listing })
  expect(pro.readAccount!(said(text)).get('1234[2]')).toMatchObject(listing)
  expect(pro.readAccount!(said(text), (_, name) => name !== 'm7f3a').size).toBe(0)
})

test.each([
  [
    { job_state: 'C', exit_status: '0' },
    { kind: 'ended', exitCode: 0 },
  ],
  [
    { job_state: 'C', exit_status: '7' },
    { kind: 'ended', exitCode: 7 },
  ],
  [
    { job_state: 'C', exit_status: '271' },
    { kind: 'stopped', cause: 'signal', message: expect.stringContaining('signal 15') },
  ],
  [
    { job_state: 'C', exit_status: '-11' },
    { kind: 'stopped', cause: 'timeout' },
  ],
  [
    { job_state: 'C', exit_status: '-10' },
    { kind: 'stopped', cause: 'out-of-memory' },
  ],
  [
    { job_state: 'C', exit_status: '-29' },
    { kind: 'stopped', cause: 'unknown' },
  ],
  [{ job_state: 'C' }, { kind: 'ended' }],
])('with Torque %j is told', (attributes, listing) => {
  const text = record('1234[2].pbs', { ...attributes, Job_Name: 'm7f3a-2' })
  expect(torque.readList(said(text)).get('1234[2]')).toMatchObject({ batchName: 'm7f3a', index: 2, listing })
})

test('the record of an array as a whole is no job', () => {
  const text =
    record('5[].pbs', { job_state: 'B' }) +
    record('5[0].pbs', { job_state: 'R' }) +
    record('6.pbs', { job_state: 'Q' })
  expect([...pro.readList(said(text)).keys()]).toEqual(['5[0]', '6'])
})

test('a list tells of the others when some jobs are unknown, and throws when nothing could be asked', () => {
  const text = record('6.pbs', { job_state: 'Q' })
  expect(pro.readList(said(text, 'qstat: Unknown Job Id 7.pbs\n', 153)).size).toBe(1)
  expect(
    pro.readList(
      said('', 'qstat: 7.pbs Job has finished, use -x or -H to obtain historical job information\n', 35),
    ).size,
  ).toBe(0)
  expect(pro.readList(said('')).size).toBe(0)
  expect(() => pro.readList(said('', 'qstat: cannot connect to server pbs (errno=111)\n', 111))).toThrow(
    'cannot connect',
  )
  expect(() => pro.readList(said('', '', 1))).toThrow('qstat failed')
  // The last record was cut before its state.
  expect(pro.readList(said(`Hello\n${text}Job Id: 8.pbs\n    Job_Na`)).size).toBe(1)
})

test('arrays are asked for as a whole, and each job is deleted by its own id', () => {
  expect(pro.account!(['5[0]', '5[1]', '6']).argv).toEqual(['qstat', '-x', '-f', '-t', '5[]', '6'])
  expect(torque.account!(['6']).argv).toEqual(['qstat', '-f', '-t', '6'])
  expect(pro.cancel(['5[0]', '6']).argv).toEqual(['qdel', '5[0]', '6'])
})

test('deleting what is gone is silent; a server that is away is told', () => {
  expect(() =>
    pro.readCancelled(said('', 'qdel: Unknown Job Id 7.pbs\nqdel: Job has finished 6.pbs\n', 153)),
  ).not.toThrow()
  expect(() =>
    torque.readCancelled(
      said('', 'qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 6.pbs\n', 170),
    ),
  ).not.toThrow()
  expect(() => pro.readCancelled(said('', 'qdel: cannot connect to server pbs (errno=111)\n', 111))).toThrow(
    'cannot connect',
  )
})

test.each([
  {},
  { flavour: 'lsf' },
  { flavour: 'torque', queue: 'a b' },
  { flavour: 'torque', extraDirectives: ['-J 0-9'] },
  { flavour: 'torque', extraDirectives: ['-N other'] },
  { flavour: 'torque', extraDirectives: ['-Nother'] },
  { flavour: 'pbspro', extraDirectives: ['-m e -N other'] },
])('options that cannot be meant are refused: %j', (options) => {
  expect(schema.safeParse(options).success).toBe(false)
})
