import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { makeBatch, said } from '../../test/helpers/batch.ts'
import type { Batch } from '../../src/environment/batch/scheduler.ts'
import { indexRanges } from './native-ids.ts'
import { directiveShape } from './options.ts'
import { slurmScheduler } from './scheduler.ts'
import { describeBatchPlugin } from '../../test/conformance/batch-plugin.ts'
import { plugin } from './index.ts'
import { slurm as word } from './language.ts'

describeBatchPlugin(plugin, word)

const schema = z.strictObject(directiveShape)
const slurm = slurmScheduler(schema.parse({}))

const place = '/home/ada/.molehill/executions/k/batches/b-7f3a'
const batch = (more: Partial<Batch> = {}) =>
  makeBatch({ name: 'b-7f3a', directory: place, logPath: `${place}/log`, ...more })

const script = (lines: readonly string[]) => `#!/bin/bash\n${lines.join('\n')}\nexit 0\n`

test.each([
  ['plain', {}, batch({ size: 1 })],
  [
    'all',
    {
      partition: 'short,long',
      account: 'physics',
      qos: 'high',
      gres: ['nvme:1', 'license'],
      tasks: 8,
      constraint: ['intel', 'ib'],
      reservation: 'course',
      wckey: 'key',
      exclusive: true,
      extraDirectives: ['--mail-type=END', '--comment="two words -J"'],
    },
    batch({
      resources: { cpus: 4, memoryBytes: 2 ** 31, wallTimeMs: 95_400_000, gpus: 1, nodes: 2 },
    }),
  ],
  [
    'asked',
    {},
    batch({
      resources: { cpus: 2, memoryBytes: 1_500_000, wallTimeMs: 61_000, gpus: 2, nodes: 1 },
      directory: '/home/a b/50%/"x"\\y',
      logPath: '/home/a b/50%/log',
    }),
  ],
])('the script of a batch: %s', async (name, options, given) => {
  const text = script(slurmScheduler(schema.parse(options)).directives(given))
  await expect(text).toMatchFileSnapshot(`golden/${name}.sh`)
  expect(spawnSync('bash', ['-n'], { input: text }).status).toBe(0)
})

test('one id answers for all jobs of a batch, whatever a login prints before it', () => {
  expect(slurm.readSubmitted(said('Welcome to 2026!\n1234\n'), batch())).toEqual({
    kind: 'accepted',
    nativeIds: ['1234_0', '1234_1', '1234_2'],
  })
  expect(slurm.readSubmitted(said('1234;north\n'), batch({ size: 1 }))).toEqual({
    kind: 'accepted',
    nativeIds: ['1234'],
  })
})

test.each([
  ['sbatch: error: Batch job submission failed: Invalid partition name specified', 'rejected'],
  [
    'sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified',
    'rejected',
  ],
  ['sbatch: error: Batch job submission failed: More processors requested than permitted', 'rejected'],
  [
    'sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user size and/or time limits)',
    'deferred',
  ],
  ['sbatch: error: Batch job submission failed: Resource temporarily unavailable', 'deferred'],
  [
    "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    'rejected',
  ],
  [
    "sbatch: error: AssocGrpCPUMinutesLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    'deferred',
  ],
  [
    'sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)',
    'deferred',
  ],
  ['sbatch: error: Batch job submission failed: Unable to create job record, try again', 'deferred'],
])('a refused batch: %s is %s', (words, kind) => {
  expect(slurm.readSubmitted(said('', words, 1), batch())).toEqual({
    kind,
    reason: words.replaceAll('\n', ' '),
  })
})

test.each([
  [said('', '', 0), 'gave no job id'],
  [said('banner only\n', '', 0), 'gave no job id'],
  [
    said('', 'sbatch: error: Batch job submission failed: Unable to contact slurm controller', 1),
    'could not reach',
  ],
  [said('', 'Socket timed out on send/recv operation', 1), 'could not reach'],
  [
    said('', 'sbatch: error: Batch job submission failed: Slurm backup controller in standby mode', 1),
    'could not reach',
  ],
  [
    said('', 'sbatch: error: Batch job submission failed: Protocol authentication error', 1),
    'could not reach',
  ],
  [
    said('', 'sbatch: error: Batch job submission failed: Invalid authentication credential', 1),
    'could not reach',
  ],
  [
    said('', 'sbatch: error: Batch job submission failed: Communication connection failure', 1),
    'could not reach',
  ],
  [said('', 'sbatch: error: Batch job submission failed: Connection reset by peer', 1), 'could not reach'],
  [
    said('', 'sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Host name lookup failure', 1),
    'could not reach',
  ],
  [said('', 'sbatch: fatal: Could not establish a configuration source', 1), 'could not reach'],
  [said('', 'sbatch: command not found', 127), 'cannot be run there'],
  [said('', '', null), 'was killed'],
])('a submission whose fate is not known throws: %j', (result, message) => {
  expect(() => slurm.readSubmitted(result, batch())).toThrow(message)
})

test.each([
  ['PENDING', 'Priority', { kind: 'queued', reason: 'Priority' }],
  ['PENDING', 'None', { kind: 'queued' }],
  ['PENDING', 'JobHeldUser', { kind: 'queued', reason: 'JobHeldUser' }],
  ['PENDING', 'DependencyNeverSatisfied', { kind: 'stuck', stopped: { kind: 'stopped', cause: 'unknown' } }],
  [
    'PENDING',
    'launch failed requeued held',
    { kind: 'stuck', stopped: { message: expect.stringContaining('requeued held') } },
  ],
  ['CONFIGURING', 'None', { kind: 'queued' }],
  ['REQUEUED', 'None', { kind: 'queued' }],
  ['RUNNING', 'None', { kind: 'running', host: 'n1' }],
  ['COMPLETING', 'None', { kind: 'running', host: 'n1' }],
  ['SUSPENDED', 'None', { kind: 'running', host: 'n1' }],
  ['RESIZING', 'None', { kind: 'running' }],
  ['STAGE_OUT', 'None', { kind: 'running' }],
  ['SIGNALING', 'None', { kind: 'running' }],
  ['COMPLETED', 'None', { kind: 'ended' }],
  ['FAILED', 'NonZeroExitCode', { kind: 'ended' }],
  ['CANCELLED', 'None', { kind: 'stopped', cause: 'cancelled' }],
  ['TIMEOUT', 'TimeLimit', { kind: 'stopped', cause: 'timeout' }],
  ['DEADLINE', 'DeadLine', { kind: 'stopped', cause: 'timeout' }],
  ['OUT_OF_MEMORY', 'OutOfMemory', { kind: 'stopped', cause: 'out-of-memory' }],
  ['PREEMPTED', 'None', { kind: 'stopped', cause: 'preempted' }],
  ['NODE_FAIL', 'NodeDown', { kind: 'stopped', cause: 'node-failure' }],
  ['BOOT_FAIL', 'None', { kind: 'stopped', cause: 'node-failure' }],
  ['REVOKED', 'None', { kind: 'stopped', cause: 'unknown' }],
  ['SPECIAL_EXIT', 'None', { kind: 'stopped', cause: 'unknown' }],
  ['LAUNCHING_ROCKETS', 'None', { kind: 'unclear', message: expect.stringContaining('LAUNCHING_ROCKETS') }],
])('in the list, %s (%s) is told', (state, reason, listing) => {
  const rows = slurm.readList(said(`1234_2|1234|2|${state}|${reason}|n1|b-7f3a\n`))
  expect(rows.get('1234_2')).toMatchObject({ batchName: 'b-7f3a', index: 2, listing })
})

test('a list is read past banners, cut lines and jobs of others', () => {
  const text = [
    'Unauthorised use is forbidden | really',
    '7|7|N/A|RUNNING|None|n2|b-one',
    '8|8|N/A|PENDING|Resources||odd | name',
    '9_1|9|1|RUNN',
  ].join('\n')
  expect([...slurm.readList(said(text))]).toEqual([
    ['7', { batchName: 'b-one', index: 0, listing: { kind: 'running', host: 'n2' } }],
    ['8', { batchName: 'odd | name', index: 0, listing: { kind: 'queued', reason: 'Resources' } }],
  ])
  expect(slurm.readList(said('')).size).toBe(0)
})

test('a list that failed as a whole throws and is never read as empty', () => {
  expect(() =>
    slurm.readList(said('', 'slurm_load_jobs error: Unable to contact slurm controller', 1)),
  ).toThrow('Unable to contact slurm controller')
})

test.each([
  ['COMPLETED', '0:0', { kind: 'ended' }],
  ['FAILED', '3:0', { kind: 'ended', exitCode: 3 }],
  ['FAILED', '137:0', { kind: 'ended', exitCode: 137 }],
  ['FAILED', '0:9', { kind: 'stopped', cause: 'signal', message: expect.stringContaining('signal 9') }],
  ['FAILED', '0:53', { kind: 'stopped', cause: 'unknown' }],
  ['CANCELLED by 1001', '0:15', { kind: 'stopped', cause: 'cancelled' }],
  ['CANCELLED+', '0:15', { kind: 'stopped', cause: 'cancelled' }],
  ['OUT_OF_MEMORY', '0:125', { kind: 'stopped', cause: 'out-of-memory' }],
  ['TIMEOUT', '0:15', { kind: 'stopped', cause: 'timeout' }],
  ['NODE_FAIL', '0:15', { kind: 'stopped', cause: 'node-failure' }],
])('in the accounting, %s with %s is told', (state, exit, listing) => {
  const read = slurm.readAccount!(said(`1234_1|${state}|${exit}|n1\n1234_1.batch|${state}|0:0|n1\n`))
  expect([...read]).toEqual([['1234_1', expect.objectContaining(listing)]])
})

test('no accounting says nothing, a failing one throws', () => {
  expect(slurm.readAccount!(said('', 'Slurm accounting storage is disabled', 1)).size).toBe(0)
  const rows = '7_1|CANCELLED|0:15|n1|m-earlier\n7_2|COMPLETED|0:0|n1|m7f3a\n'
  expect([...slurm.readAccount!(said(rows), (_, name) => name === 'm7f3a').keys()]).toEqual(['7_2'])
  expect(() =>
    slurm.readAccount!(said('', 'sacct: error: slurm_persist_conn_open: Connection refused', 1)),
  ).toThrow('Connection refused')
})

test('arrays are asked for and cancelled in few words', () => {
  const ids = ['7_0', '7_1', '7_2', '7_9', '12', '8_4']
  expect(slurm.account!(ids).argv).toContain('--jobs=7,12,8')
  expect(slurm.cancel(ids).argv).toEqual(['scancel', '--quiet', '12', '7_[0-2,9]', '8_[4]'])
  expect(indexRanges([])).toEqual([])
})

test('cancelling what is over is silent; a controller that is away is told', () => {
  expect(() =>
    slurm.readCancelled(
      said('', 'scancel: error: Kill job error on job id 5: Invalid job id specified\n', 1),
    ),
  ).not.toThrow()
  expect(() =>
    slurm.readCancelled(
      said(
        '',
        'scancel: error: slurm_kill_job2() failed Unable to contact slurm controller (connect failure)\n',
        1,
      ),
    ),
  ).toThrow('Unable to contact')
})

test('a check looks at the partition', () => {
  const answer = said('main|up\nold|down\n')
  const check = (partition: string) => slurmScheduler(schema.parse({ partition })).readCheck(answer)
  expect(check('main')).toBeUndefined()
  expect(check('main,old')).toContain('old is down')
  expect(check('gone')).toContain('Slurm has: main, old')
  expect(slurm.readCheck(said('', 'sinfo: error', 1))).toContain('sinfo failed')
})

test('a check asks whether a job with the options would be taken, and starts none', () => {
  const batch = {
    name: 'molehill-check',
    size: 1,
    directory: '/',
    logPath: '/dev/null',
    resources: { cpus: 4 },
  }
  const command = slurmScheduler(schema.parse({ account: 'physics' })).verify!(batch)
  expect(command.argv).toContain('--test-only')
  expect(command.input).toMatch(/^#!.*#SBATCH --account=physics\n.*#SBATCH --cpus-per-task=4\n/s)
  const read = (words: string, code: number) => slurm.readVerified!(said('', words, code))
  expect(read('sbatch: Job 7 to start at 2026-11-22T21:33:20 using 1 processors', 0)).toBeUndefined()
  expect(read('allocation failure: Invalid account or account/partition combination specified', 1)).toContain(
    'Invalid account',
  )
  expect(read('allocation failure: Unable to contact slurm controller (connect failure)', 1)).toBeUndefined()
})

test.each([
  { partition: 'a\nb' },
  { account: 'x --uid=0' },
  { extraDirectives: ['--array=0-9'] },
  { extraDirectives: ['-J name'] },
  { extraDirectives: ['--mail-type=END --job-name=mine'] },
  { extraDirectives: ['--clusters=north'] },
  { extraDirectives: ['-M north'] },
  { extraDirectives: ['#SBATCH --mail-type=END'] },
  { extraDirectives: ['--comment=a\nrm -rf /'] },
  { particion: 'main' },
])('options that cannot be meant are refused: %j', (options) => {
  expect(schema.safeParse(options).success).toBe(false)
})
