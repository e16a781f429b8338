import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JobHandle, JobRequest } from '../../src/environment/environment.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { noSignal } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { startLoginCluster, type LoginCluster } from '../../test/daemons/login-cluster.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { complaint, insist, LoginTrial, patienceMs, type LoginTrialOptions } from './login-trial.fixtures.ts'

const cutOff = /^The connection was cut off; nobody knows how far .* ssh says: .+/

let cluster: LoginCluster
let account: SshAccount
let trial: LoginTrial

/** What a login prints that could be taken for answers of Slurm. */
const greeting =
  '4711\n4711|4711|0|RUNNING|None|n1|welcome\nslurm_load_jobs error: Unable to contact slurm controller'

async function use(options?: LoginTrialOptions): Promise<void> {
  trial = await LoginTrial.start({ cluster, account, variables: process.env }, options)
}

const idsOf = (jobs: readonly { readonly id: string }[]) => jobs.map(({ id }) => id).sort()

const sumOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

const sleeping = 'exec sleep 600'

describeWith(['slurm', 'sshd'], 'Slurm behind SSH when connections are cut', () => {
  beforeAll(async () => {
    cluster = await startLoginCluster({ login: { greeting, locale: 'xx_YY.ISO-8859-99' } })
    account = sshAccount(cluster.server)
    appendFileSync(join(cluster.server.home, '.bashrc'), `echo 'sbatch: error: the quota is full' >&2\n`)
  }, 120_000)
  afterAll(async () => {
    account.remove()
    await cluster.stop()
  })
  beforeEach(() => cluster.cuts.clear())
  afterEach(async () => {
    await trial.slurm('scancel', '--partition=main')
    await trial.close()
  })

  test('in the upload, of the work directory or of jobs: nothing is half there, and each job runs once', async () => {
    await use()
    const content = randomBytes(3_000_000)
    writeFileSync(join(trial.workDirectory, 'large'), content)
    const all: JobHandle[] = []
    for (const bytes of [1_000_000, 1500]) {
      const requests = Array.from({ length: 3 }, () => trial.counted('sha256sum <large'))
      const earlier = await trial.submissions()
      await cluster.cuts.order('tar', { kind: 'reading', bytes })
      expect(await complaint(trial.environment.submit(requests, noSignal))).toMatch(cutOff)
      expect(await trial.submissions()).toBe(earlier)
      all.push(...(await insist(() => trial.submitAll(requests))))
    }
    for (const end of await trial.waitForAll(all)) expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
    for (const handle of all) expect((await trial.collect(handle)).stdout).toContain(sumOf(content))
    expect(trial.runs()).toEqual(idsOf(all))
    await trial.leaveNothing(all)
  }, 120_000)

  test('after sbatch has submitted: the jobs are found, and each runs once', async () => {
    await use()
    const requests = Array.from({ length: 3 }, () => trial.counted('exit 7'))
    const earlier = await trial.submissions()
    await cluster.cuts.order('sbatch', { kind: 'after' })
    const handles = await insist(() => trial.submitAll(requests))
    expect(trial.warnings.join('\n')).toMatch(/no clear answer.*cut off/)
    expect(await insist(() => trial.waitForAll(handles))).toMatchObject(
      requests.map(() => ({ kind: 'exited', exitCode: 7 })),
    )
    expect(await trial.submissions()).toBe(earlier + 1)
    expect(trial.runs()).toEqual(idsOf(requests))
    await trial.leaveNothing(handles)
  }, 120_000)

  test('before sbatch submits: the jobs are deferred, and each runs once when it is sent again', async () => {
    await use()
    const requests = Array.from({ length: 3 }, () => trial.counted('exit 7'))
    const earlier = await trial.submissions()
    await cluster.cuts.order('sbatch', { kind: 'before' })
    const outcomes = await trial.environment.submit(requests, noSignal)
    for (const { id } of requests)
      expect(outcomes.get(id)).toMatchObject({ kind: 'deferred', reason: expect.stringMatching(cutOff) })
    expect(await trial.submissions()).toBe(earlier)
    const handles = await trial.submitAll(requests)
    expect(await trial.waitForAll(handles)).toMatchObject(
      requests.map(() => ({ kind: 'exited', exitCode: 7 })),
    )
    expect(trial.runs()).toEqual(idsOf(requests))
    await trial.leaveNothing(handles)
  }, 120_000)

  describe('an sbatch that submits late, while the jobs are sent again', () => {
    /** Jobs that are in Slurm twice: those of the first submission run, the others have been submitted after them. */
    async function submitTwice(
      requests: readonly JobRequest[],
      between = async (): Promise<void> => undefined,
    ) {
      await cluster.cuts.order('sbatch', { kind: 'late' })
      const outcomes = await trial.environment.submit(requests, noSignal)
      for (const { id } of requests) expect(outcomes.get(id)).toMatchObject({ kind: 'deferred' })
      const earlier = await trial.submissions()
      await cluster.cuts.order('sbatch', { kind: 'held' })
      const again = trial.submitAll(requests)
      await cluster.cuts.taken('sbatch')
      await cluster.cuts.goOn('sbatch', 'late')
      const areRunning = () => (trial.runs().length === requests.length ? true : undefined)
      await until('the late ones run', areRunning, () => trial.warnings, patienceMs)
      await between()
      await cluster.cuts.goOn('sbatch', 'held')
      const handles = await again
      expect(await trial.submissions()).toBe(earlier + 2)
      return handles
    }

    test('each runs once, and is cancelled whichever runs', async () => {
      await use()
      const requests = [trial.counted(sleeping), trial.counted(sleeping)]
      const handles = await submitTwice(requests)
      for (const handle of handles) await trial.waitForRunning(handle)
      await trial.environment.cancel(handles, noSignal)
      expect(await trial.waitForAll(handles)).toMatchObject(
        requests.map(() => ({ kind: 'stopped', cause: 'cancelled' })),
      )
      expect(trial.runs()).toEqual(idsOf(requests))
      await trial.leaveNothing(handles)
    }, 120_000)

    test('what has ended is told while its copy waits, and the copy does not stay in the queue', async () => {
      await use()
      const requests = [6, 7].map((code) => trial.gated(`exit ${code}`))
      const drain = async () =>
        void (await trial.slurm('scontrol', 'update', 'nodename=n1', 'state=drain', 'reason=test'))
      try {
        const handles = await submitTwice(requests, drain)
        await trial.openGate()
        expect(await trial.waitForAll(handles)).toMatchObject([{ exitCode: 6 }, { exitCode: 7 }])
        expect(trial.runs()).toEqual(idsOf(requests))
        await trial.leaveNothing(handles)
      } finally {
        await trial.slurm('scontrol', 'update', 'nodename=n1', 'state=resume')
      }
    }, 120_000)
  })

  test('in the query of states: nothing is known, then all of it', async () => {
    await use()
    const handles = await trial.submitAll([trial.gated('exit 5'), trial.counted('exit 6')])
    for (const kind of ['before', 'after'] as const) {
      await cluster.cuts.order('squeue', { kind })
      expect(await complaint(trial.environment.observe(handles, noSignal))).toMatch(cutOff)
      expect(['queued', 'running']).toContain((await insist(() => trial.observe(handles[0]!))).kind)
    }
    await trial.openGate()
    expect(await trial.waitForAll(handles)).toMatchObject([{ exitCode: 5 }, { exitCode: 6 }])
    expect(trial.runs()).toEqual(idsOf(handles))
    await trial.leaveNothing(handles)
  }, 120_000)

  test('in scancel: asked again, the jobs end as cancelled', async () => {
    await use()
    for (const kind of ['before', 'after'] as const) {
      const handles = await trial.submitAll([trial.counted(sleeping), trial.counted(sleeping)])
      for (const handle of handles) await trial.waitForRunning(handle)
      await cluster.cuts.order('scancel', { kind })
      expect(await complaint(trial.environment.cancel(handles, noSignal))).toMatch(cutOff)
      await insist(async () => (await trial.environment.cancel(handles, noSignal), true))
      expect(await insist(() => trial.waitForAll(handles))).toMatchObject(
        handles.map(() => ({ kind: 'stopped', cause: 'cancelled' })),
      )
      await trial.leaveNothing(handles)
    }
  }, 120_000)

  test('while outputs come: they come whole', async () => {
    await use()
    const script = 'head -c 3000000 /dev/urandom >large; sha256sum <large; mkdir d; cp large d/copy'
    const outputs = [{ path: 'large' }, { path: 'd' }]
    const handle = await trial.submit(trial.counted(script, { outputs }))
    expect(await trial.waitForEnd(handle)).toMatchObject({ exitCode: 0 })
    await cluster.cuts.order('tar', { kind: 'writing', bytes: 4_000_000 })
    const { collected, stdout, read } = await trial.collect(handle)
    expect(trial.warnings.join('\n')).toMatch(/fetching outputs is tried again: The connection was cut off/)
    expect(collected).toMatchObject({ files: ['large', 'd'], missing: [] })
    for (const path of ['large', 'd/copy']) expect(stdout).toContain(sumOf(read(path)))
    expect(trial.runs()).toEqual(idsOf([handle]))
    await trial.leaveNothing([handle])
  }, 120_000)

  test('while what jobs left is deleted: asked again, all of it is gone', async () => {
    await use()
    const handles = await trial.submitAll([
      trial.counted('echo a >left'),
      trial.counted('echo b >left'),
      trial.counted(sleeping),
    ])
    await trial.waitForAll(handles.slice(0, 2))
    await cluster.cuts.order('rm', { kind: 'before' })
    expect(await complaint(trial.environment.release(handles.slice(0, 2), noSignal))).toMatch(cutOff)
    await trial.waitForRunning(handles[2]!)
    for (const [program, kind] of [
      ['scancel', 'before'],
      ['mv', 'after'],
      ['rm', 'before'],
    ] as const) {
      await cluster.cuts.order(program, { kind })
      const discarding = trial.environment.discard!(trial.workDirectory, noSignal)
      expect(await complaint(discarding)).toMatch(cutOff)
    }
    expect(trial.runs()).toEqual(idsOf(handles))
    await trial.leaveNothing(handles)
  }, 120_000)

  test('the SSH server is away and starts anew: jobs go on, and each is found', async () => {
    await use()
    const requests = [trial.gated('exit 5'), trial.counted('exit 6')]
    const handles = await trial.submitAll(requests)
    await trial.waitForRunning(handles[0]!)
    await cluster.server.kill()
    expect(await complaint(trial.environment.observe(handles, noSignal))).toMatch(
      /takes no SSH connections|cut off/,
    )
    expect(await complaint(trial.environment.check(noSignal))).toMatch(/takes no SSH connections/)
    await trial.openGate()
    const isEmpty = async () => ((await trial.queue()).length === 0 ? true : undefined)
    await until('the jobs are over', isEmpty, undefined, patienceMs)
    await cluster.server.restart()
    expect(await insist(() => trial.waitForAll(handles))).toMatchObject([{ exitCode: 5 }, { exitCode: 6 }])
    expect(trial.runs()).toEqual(idsOf(requests))
    await trial.leaveNothing(handles)
  }, 120_000)

  test('a work directory that is full is told at once with its name, and jobs run when there is room', async () => {
    const small = await cluster.mountSmall(2)
    await use({ workDirectory: `${small.path}/jobs` })
    const isFull = new RegExp(`below ${trial.base} failed .*No space left on device`)
    writeFileSync(join(trial.workDirectory, 'large'), Buffer.alloc(4_000_000))
    const first = trial.counted('exit 4')
    expect(await complaint(trial.environment.submit([first], noSignal))).toMatch(isFull)
    await small.remount('size=20m')
    const handles = [await trial.submit(first)]
    expect(await trial.waitForEnd(handles[0]!)).toMatchObject({ exitCode: 4 })
    await cluster.server.run(['sh', '-c', `cat /dev/zero >${small.path}/fill`])
    const second = trial.counted('exit 6')
    expect(await complaint(trial.environment.submit([second], noSignal))).toMatch(isFull)
    expect(await trial.environment.inspect?.(noSignal)).toContainEqual(
      expect.objectContaining({
        what: 'work directory',
        isGood: false,
        message: expect.stringContaining(trial.base),
      }),
    )
    await cluster.server.run(['rm', `${small.path}/fill`])
    handles.push(await trial.submit(second))
    expect(await trial.waitForEnd(handles[1]!)).toMatchObject({ exitCode: 6 })
    expect(trial.runs()).toEqual(idsOf([first, second]))
    await trial.leaveNothing(handles)
  }, 120_000)

  test('a work directory that fills up while a job runs: how the job ended is told all the same', async () => {
    const small = await cluster.mountSmall(2)
    await use({ workDirectory: `${small.path}/jobs` })
    const request = trial.gated('exit 4')
    const handle = await trial.submit(request)
    await trial.waitForRunning(handle)
    await cluster.server.run(['sh', '-c', `cat /dev/zero >${small.path}/fill`])
    await trial.openGate()
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 4 })
    await cluster.server.run(['rm', `${small.path}/fill`])
    expect(trial.runs()).toEqual(idsOf([request]))
    await trial.leaveNothing([handle])
  }, 120_000)

  test('a work directory that cannot be written is told at once with its name, and jobs run when it can', async () => {
    const small = await cluster.mountSmall(2)
    await use({ workDirectory: `${small.path}/jobs` })
    await small.remount('ro')
    const isFixed = new RegExp(`${trial.base} failed .*Read-only file system`)
    const [first, second] = [trial.counted('exit 6'), trial.counted('exit 7')]
    expect(await complaint(trial.environment.check(noSignal))).toMatch(isFixed)
    expect(await complaint(trial.environment.submit([first], noSignal))).toMatch(isFixed)
    await small.remount('rw')
    const handles = [await trial.submit(first)]
    expect(await trial.waitForEnd(handles[0]!)).toMatchObject({ exitCode: 6 })
    await small.remount('ro')
    expect(await complaint(trial.environment.submit([second], noSignal))).toMatch(isFixed)
    expect(await complaint(trial.environment.release(handles, noSignal))).toContain(
      `below ${trial.base} failed`,
    )
    await small.remount('rw')
    handles.push(await trial.submit(second))
    expect(await trial.waitForEnd(handles[1]!)).toMatchObject({ exitCode: 7 })
    expect(trial.runs()).toEqual(idsOf([first, second]))
    await trial.leaveNothing(handles)
  }, 120_000)

  test('while jobs of pilots run: each runs once', async () => {
    await use({ pilots: { count: 2, slots: 2, time: '10 min', idleMs: 1000 } })
    const requests = Array.from({ length: 12 }, (_, index) =>
      trial.gated(`echo ${index} >out`, { outputs: [{ path: 'out' }] }),
    )
    await cluster.cuts.order('tar', { kind: 'reading', bytes: 3000 })
    expect(await complaint(trial.environment.submit(requests, noSignal))).toMatch(cutOff)
    await cluster.cuts.order('sbatch', { kind: 'after' })
    const handles = await insist(() => trial.submitAll(requests))
    expect(trial.warnings.join('\n')).toMatch(
      /a submission of pilots gave no clear answer: The connection was cut off/,
    )
    const areRunning = () => (trial.runs().length === 4 ? true : undefined)
    await until('every slot has a job', areRunning, () => trial.runs(), patienceMs)
    for (const kind of ['before', 'after'] as const) {
      await cluster.cuts.order('squeue', { kind })
      expect(await complaint(trial.environment.observe(handles, noSignal))).toMatch(cutOff)
      await insist(() => trial.environment.observe(handles, noSignal))
    }
    await cluster.server.restart()
    await trial.openGate()
    expect(await insist(() => trial.waitForAll(handles))).toMatchObject(handles.map(() => ({ exitCode: 0 })))
    await cluster.cuts.order('tar', { kind: 'writing', bytes: 1000 })
    expect(await complaint(trial.collect(handles[0]!))).toMatch(cutOff)
    for (const [index, handle] of handles.entries())
      expect((await insist(() => trial.collect(handle))).read('out').toString()).toBe(`${index}\n`)
    expect(trial.runs()).toEqual(idsOf(requests))
    await trial.leaveNothing(handles)
  }, 120_000)
})
