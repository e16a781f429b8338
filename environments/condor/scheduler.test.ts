import { expect, test } from 'vitest'
import { z } from 'zod'
import { makeBatch, said } from '../../test/helpers/batch.ts'
import { descriptionShape } from './options.ts'
import { condorScheduler } from './scheduler.ts'
import { describeBatchPlugin } from '../../test/conformance/batch-plugin.ts'
import { plugin } from './index.ts'
import { condor as word } from './language.ts'

describeBatchPlugin(plugin, word)

const schema = z.strictObject(descriptionShape)
const condor = condorScheduler(schema.parse({}))

test.each([
  ['plain', {}, makeBatch({ size: 1 })],
  [
    'all',
    {
      requirements: 'OpSysAndVer == "Debian12" || Memory > 4000',
      accountingGroup: 'physics.ada',
      shouldTransferFiles: 'NO',
      extraDirectives: ['+ProjectName = "x"', 'nice_user = true'],
    },
    makeBatch({
      resources: { cpus: 4, memoryBytes: 1_500_000_000, gpus: 1, wallTimeMs: 90_500 },
      directory: `/home/a "b" 'c' $(d)`,
      logPath: `/home/a "b" 'c' $(d)/log`,
    }),
  ],
])('the submit description of a batch: %s', async (name, options, given) => {
  const { argv, input } = condorScheduler(schema.parse(options)).submit(`${given.directory}/script`, given)
  expect(argv).toEqual(['condor_submit', '-terse', '-'])
  await expect(input).toMatchFileSnapshot(`golden/${name}.sub`)
})

test('one range answers for all processes of a cluster', () => {
  const nativeIds = ['12.0', '12.1', '12.2']
  expect(condor.readSubmitted(said('12.0 - 12.2\n'), makeBatch())).toEqual({ kind: 'accepted', nativeIds })
  expect(condor.readSubmitted(said('Hello.\n12.0 - 12.0\n'), makeBatch({ size: 1 }))).toEqual({
    kind: 'accepted',
    nativeIds: ['12.0'],
  })
})

test.each([
  ['ERROR: No such directory: /nowhere', 'rejected'],
  ['ERROR: on Line 12 of submit file: Failed to parse command', 'rejected'],
  ['ERROR: Number of submitted jobs would exceed MAX_JOBS_PER_OWNER', 'deferred'],
])('a refused batch: %s', (reason, kind) => {
  expect(condor.readSubmitted(said('', reason, 1), makeBatch())).toEqual({ kind, reason })
})

test.each([
  said('', '', 0),
  said('', "ERROR: Can't find address of local schedd", 1),
  said('', 'condor_submit: command not found', 127),
])('a submission whose fate is not known throws: %j', (result) => {
  expect(() => condor.readSubmitted(result, makeBatch())).toThrow(/^condor_submit /)
})

const job = (more: object) => ({ ClusterId: 12, ProcId: 1, JobBatchName: 'm7f3a', ...more })
const answer = (...jobs: readonly object[]) => `${JSON.stringify(jobs, undefined, 2)}\n`

test.each([
  [{ JobStatus: 1 }, { kind: 'queued' }],
  [
    { JobStatus: 2, RemoteHost: 'slot1_2@node7.example.org' },
    { kind: 'running', host: 'node7.example.org' },
  ],
  [{ JobStatus: 6 }, { kind: 'running' }],
  [{ JobStatus: 7 }, { kind: 'running' }],
  [
    { JobStatus: 4, ExitBySignal: false, ExitCode: 3 },
    { kind: 'ended', exitCode: 3 },
  ],
  [{ JobStatus: 4 }, { kind: 'ended' }],
  [
    { JobStatus: 4, ExitBySignal: true, ExitSignal: 9 },
    { kind: 'stopped', cause: 'signal', message: expect.stringContaining('signal 9') },
  ],
  [
    { JobStatus: 3, RemoveReason: 'via condor_rm (by user ada)' },
    { kind: 'stopped', cause: 'cancelled' },
  ],
  [
    {
      JobStatus: 3,
      NumJobStarts: 1,
      RemoveReason:
        "The job attribute PeriodicRemove expression 'JobStatus == 1 && NumJobStarts > 0' evaluated to TRUE",
    },
    { kind: 'stopped', cause: 'preempted' },
  ],
  [{ JobStatus: 5, HoldReasonCode: 15, HoldReason: 'submitted on hold at user request' }, { kind: 'queued' }],
  [
    { JobStatus: 5, HoldReasonCode: 1, HoldReason: 'via condor_hold (by user ada)' },
    { kind: 'queued', reason: 'held: via condor_hold (by user ada)' },
  ],
  [
    { JobStatus: 5, HoldReasonCode: 47 },
    { kind: 'stuck', stopped: { cause: 'timeout' } },
  ],
  [
    { JobStatus: 5, HoldReasonCode: 34 },
    { kind: 'stuck', stopped: { cause: 'out-of-memory' } },
  ],
  [
    { JobStatus: 5, HoldReasonCode: 3, HoldReasonSubCode: 4077 },
    { kind: 'stuck', stopped: { cause: 'out-of-memory' } },
  ],
  [
    { JobStatus: 5, HoldReasonCode: 3, HoldReasonSubCode: 0 },
    { kind: 'stuck', stopped: { cause: 'unknown' } },
  ],
  [
    { JobStatus: 5, HoldReasonCode: 6, HoldReason: 'Failed to execute /x: (errno=2: No such file).' },
    { kind: 'stuck', stopped: { cause: 'unknown', message: expect.stringContaining('errno=2') } },
  ],
  [{ JobStatus: 99 }, { kind: 'unclear' }],
])('%j is told', (more, listing) => {
  const rows = condor.readList(said(answer(job(more))))
  expect(rows.get('12.1')).toMatchObject({ batchName: 'm7f3a', index: 1, listing })
  expect(condor.readAccount!(said(answer(job(more)))).get('12.1')).toMatchObject(listing)
  expect(condor.readAccount!(said(answer(job(more))), (_, name) => name !== 'm7f3a').size).toBe(0)
})

test('an empty queue prints nothing; what failed or is cut throws', () => {
  expect(condor.readList(said('')).size).toBe(0)
  expect(condor.readList(said('\n')).size).toBe(0)
  const text = answer(job({ JobStatus: 1 }))
  expect(condor.readList(said(`Mail waits [3].\n${text}`)).size).toBe(1)
  expect(() => condor.readList(said(text.slice(0, 50)))).toThrow('no whole answer')
  expect(() => condor.readList(said('', 'Error: Failed to fetch ads', 1))).toThrow('Failed to fetch ads')
})

test('jobs of others and records of other kinds are left alone', () => {
  const rows = condor.readList(said(answer({ ClusterId: 3 }, { ClusterId: 4, ProcId: 0, JobStatus: 1 })))
  expect([...rows]).toEqual([['4.0', { batchName: '', index: 0, listing: { kind: 'queued' } }]])
})

test('removing what is gone is silent; a scheduler that is away is told', () => {
  expect(() =>
    condor.readCancelled(said('Job 99.0 not found\nJob 12.1 marked for removal\n', '', 1)),
  ).not.toThrow()
  expect(() => condor.readCancelled(said('', "Can't find address of local schedd\n", 1))).toThrow(
    'find address',
  )
})

test.each([
  { extraDirectives: ['queue 5'] },
  { extraDirectives: ['max_retries = 3'] },
  { extraDirectives: ['output = /x'] },
  { requirements: 'a\nqueue 9' },
  { nodes: 2 },
])('options that cannot be meant are refused: %j', (options) => {
  expect(schema.safeParse(options).success).toBe(false)
})
