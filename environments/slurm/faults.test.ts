import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import { EnvironmentError, type JobHandle } from '../../src/environment/environment.ts'
import type { Host } from '../../src/environment/host.ts'
import { LocalHost } from '../../src/environment/local-host.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { startSlurm, type Slurm } from '../../test/daemons/slurm.ts'
import { plugin } from './index.ts'
import { slurmScheduler } from './scheduler.ts'

const how = { submissionsPerMinute: 60_000, stopGraceMs: 1000, partition: 'main', memory: '20 MB' }
/** Files are on this computer: no exit file comes late. */
const limits = { exitFileGraceMs: 300, causeGraceMs: 10_000 }

let slurm: Slurm
let trial: Trial
/** What happens around each command that the environment runs. */
let around: ((argv: string, run: () => Promise<unknown>) => Promise<void>) | undefined

/** An environment on the cluster, with these options besides. */
function use(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
  trial = new Trial(async (directory) => {
    const parsed = plugin.options.parse({ ...how, ...options })
    const host = new LocalHost({ variables: { PATH: process.env['PATH'] ?? '', ...slurm.variables } })
    const context = { directory, variables: {}, now: Date.now, warn: () => undefined }
    const ways = { host: watched(host), limits }
    return openBatchEnvironment('slurm', slurmScheduler(parsed), parsed, context, ways)
  })
  return trial.open()
}

function watched(host: Host): Host {
  return {
    name: host.name,
    sharesFiles: host.sharesFiles,
    open: (argv, signal) => host.open(argv, signal),
    close: () => host.close(),
    run: async (command, signal) => {
      const running = { result: undefined as Awaited<ReturnType<Host['run']>> | undefined }
      const run = async () => (running.result ??= await host.run(command, signal))
      await around?.(command.argv.join(' '), run)
      return run()
    },
  }
}

const command = (...argv: readonly string[]) => runCommand(argv, { variables: slurm.variables })

async function stateOf(nativeId: string): Promise<string> {
  return (await command('squeue', '-h', '-t', 'all', '-o', '%T', '-j', nativeId)).trim()
}

/** A job that sleeps, and has begun to: Slurm calls a job running before it has any process. */
async function submitBegun(): Promise<JobHandle> {
  const mark = join(trial.directory, 'begun')
  const handle = await trial.submit(trial.shell(`: > ${mark}; exec sleep 600`))
  await until('the job has begun', () => (existsSync(mark) ? true : undefined), undefined, 40_000)
  await trial.waitForRunning(handle)
  return handle
}

beforeEach(() => {
  around = undefined
})
afterEach(async () => {
  around = undefined
  await command('scancel', '--user=root')
  await trial.close()
})

describeWith('slurm', 'when Slurm fails', () => {
  beforeAll(async () => {
    slurm = await startSlurm({
      nodes: 2,
      cpusPerNode: 4,
      slurmdTimeout: 5,
      configuration: [
        'PreemptType=preempt/partition_prio',
        'PreemptMode=CANCEL',
        'PartitionName=urgent Nodes=ALL PriorityTier=10 State=UP',
      ],
    })
  }, 60_000)
  afterAll(() => slurm.stop())

  test('a controller that is away is an error of the environment; jobs end meanwhile and are told after', async () => {
    await use()
    const mark = join(trial.directory, 'mark')
    const handle = await trial.submit(trial.shell(`while [ ! -e ${mark} ]; do sleep 0.05; done; exit 5`))
    await trial.waitForRunning(handle)
    await slurm.stopController()
    try {
      await expect(trial.observe(handle)).rejects.toThrow(EnvironmentError)
      await expect(trial.observe(handle)).rejects.toThrow(/slurm/i)
      await expect(trial.environment.check(noSignal)).rejects.toThrow(EnvironmentError)
      writeFileSync(mark, '')
    } finally {
      await slurm.startController()
    }
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 5 })
  }, 90_000)

  test('a submission to a controller that is away starts nothing, and one job when it is repeated', async () => {
    await use()
    const request = trial.shell('echo once')
    await slurm.stopController()
    let outcome
    try {
      outcome = await trial.environment.submit([request], noSignal).then(
        (outcomes) => outcomes.get(request.id)?.kind,
        (error: unknown) => error,
      )
    } finally {
      await slurm.startController()
    }
    expect(outcome instanceof EnvironmentError || outcome === 'deferred').toBe(true)
    const { end } = await trial.run(request)
    expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
  }, 120_000)

  test('a controller that hangs for a while is waited for', async () => {
    await use()
    const handle = await trial.submit(trial.shell('exec sleep 600'))
    await trial.waitForRunning(handle)
    await slurm.pauseController()
    const asked = trial.observe(handle)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await slurm.resumeController()
    expect(await asked).toMatchObject({ kind: 'running' })
  }, 60_000)

  test('an administrator cancels a job', async () => {
    await use()
    const handle = await trial.submit(trial.shell('echo begun; exec sleep 600'))
    await trial.waitForRunning(handle)
    await command('scancel', handle.nativeId)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect((await trial.collect(handle)).stdout).toBe('begun\n')
  }, 60_000)

  test('an administrator cancels a job that waits', async () => {
    await use({ extraDirectives: ['--begin=now+1hour'] })
    const handle = await trial.submit(trial.shell('exit 0'))
    expect(await trial.observe(handle)).toMatchObject({ kind: 'queued' })
    await command('scancel', handle.nativeId)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  }, 60_000)

  test('all processes of a job are killed: it left no exit file, and is not taken for a success', async () => {
    await use()
    const handle = await submitBegun()
    expect(await slurm.signalJob(handle.nativeId, 'SIGKILL')).toBeGreaterThan(0)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped' })
  }, 60_000)

  test('a job that its node kills for its memory ends with what the node wrote about it', async () => {
    await use({ memory: '40 MB' })
    const handle = await trial.submit(trial.request(['perl', '-e', '$x = "x" x 300_000_000; sleep 600']))
    const end = await trial.waitForEnd(handle)
    expect(end).toMatchObject({ kind: 'stopped', message: expect.stringContaining('exceeded memory limit') })
  }, 60_000)

  test('a node fails', async () => {
    await use({ extraDirectives: ['--nodelist=n2'] })
    const handle = await trial.submit(trial.shell('exec sleep 600'))
    await trial.waitForRunning(handle)
    await slurm.killNode('n2', { noticed: true })
    try {
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'node-failure' })
    } finally {
      await slurm.startNode('n2')
      await command('scontrol', 'update', 'nodename=n2', 'state=resume').catch(() => undefined)
    }
  }, 90_000)

  test('a job of higher priority preempts another one', async () => {
    await use({ extraDirectives: ['--nodelist=n1', '--cpus-per-task=4'] })
    const handle = await trial.submit(trial.shell('exec sleep 600'))
    await trial.waitForRunning(handle)
    await command('sbatch', '-p', 'urgent', '-w', 'n1', '-c', '4', '--output=/dev/null', '--wrap', 'sleep 5')
    const end = await until(
      'the job is preempted',
      async () => {
        const observation = await trial.observe(handle)
        return observation.kind === 'stopped' ? observation : undefined
      },
      () => undefined,
      60_000,
    )
    expect(end).toMatchObject({ cause: 'preempted' })
  }, 90_000)

  test('a job that can never start is cancelled and has then ended', async () => {
    const failed = (await command('sbatch', '--parsable', '--output=/dev/null', '--wrap', 'exit 1')).trim()
    await use({ extraDirectives: [`--dependency=afterok:${failed}`] })
    const request = trial.shell('exit 0')
    // Refused at once where the other has failed already, else it waits for ever.
    const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
    if (outcome?.kind !== 'accepted') throw new Error(JSON.stringify(outcome))
    const end = await trial.waitForEnd(outcome.handle)
    expect(end).toMatchObject({
      kind: 'stopped',
      message: expect.stringContaining('DependencyNeverSatisfied'),
    })
    await until('Slurm has cancelled it', async () =>
      (await stateOf(outcome.handle.nativeId)) === 'CANCELLED' ? true : undefined,
    )
  }, 60_000)

  test.each([
    [{ partition: 'nowhere' }, /[Ii]nvalid partition/],
    [{ partition: 'short', time: '3 h' }, /time limit/],
    [{ gres: 'gpu:9' }, /generic resource/],
    [{ constraint: 'quantum' }, /feature/],
    [{ cpus: 4000 }, /More processors|node configuration/],
    [{ reservation: 'nobodys' }, /reservation/],
  ])('%j is refused at once, in the words of Slurm', async (options, words) => {
    await use(options)
    const request = trial.shell('exit 0')
    const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
    expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringMatching(words) })
  })

  test('a check tells that the partition is not there or is closed', async () => {
    await use({ partition: 'nowhere' })
    await expect(trial.environment.check(noSignal)).rejects.toThrow('main')
    await trial.close()
    await use({ partition: 'down' })
    await expect(trial.environment.check(noSignal)).rejects.toThrow('The partition down is down')
  })

  test('the answer to a submission is lost: the job is found, and there is one', async () => {
    await use()
    around = async (argv, run) => {
      if (!argv.includes('sbatch')) return
      around = undefined
      await run()
      throw new EnvironmentError('the connection was cut')
    }
    const mark = join(trial.directory, 'mark')
    const request = trial.shell('echo ran >> "$MARK"', { env: { MARK: mark } })
    const handle = await trial.submit(request)
    expect(handle.nativeId).toMatch(/^\d+$/)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect((await command('squeue', '-h', '-t', 'all', '-o', '%A', '-n', batchOf(handle))).trim()).toBe(
      handle.nativeId,
    )
  }, 60_000)

  test('the server dies between a submission and its answer: the next one finds the job', async () => {
    await use()
    const request = trial.shell('exec sleep 600')
    const submitted = Promise.withResolvers<void>()
    around = async (argv, run) => {
      if (!argv.includes('sbatch')) return
      await run()
      submitted.resolve()
      await new Promise(() => undefined)
    }
    const abort = new AbortController()
    const submitting = trial.environment.submit([request], abort.signal).catch(() => undefined)
    await submitted.promise
    around = undefined
    const dead = trial.environment
    await trial.open()
    const found = await trial.environment.recover([request.id], noSignal)
    expect(found.map(({ id }) => id)).toEqual([request.id])
    await trial.waitForRunning(found[0]!)
    const again = await trial.submit(request)
    expect(again.nativeId).toBe(found[0]!.nativeId)
    expect((await command('squeue', '-h', '-o', '%A', '-n', batchOf(again))).trim()).toBe(again.nativeId)
    abort.abort()
    void submitting
    await dead.close()
  }, 60_000)
})

function batchOf(handle: JobHandle): string {
  return String(handle.state['batch'])
}

describeWith('accounting', 'what Slurm remembers', () => {
  beforeAll(async () => {
    slurm = await startSlurm({
      nodes: 1,
      accounting: true,
      minJobAge: 2,
      configuration: ['AccountingStorageEnforce=associations,limits,qos', 'MaxArraySize=5'],
    })
    await command('sacctmgr', '-i', 'add', 'account', 'physics')
    await command('sacctmgr', '-i', 'add', 'user', 'root', 'account=physics')
  }, 120_000)
  afterAll(() => slurm.stop())

  test('a job that was killed and forgotten is explained by the accounting', async () => {
    await use({ account: 'physics' })
    const handle = await submitBegun()
    expect(await slurm.signalJob(handle.nativeId, 'SIGKILL')).toBeGreaterThan(0)
    await forgotten(handle)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'signal' })
  }, 90_000)

  test('a job that ended and was forgotten has its own exit code', async () => {
    await use({ account: 'physics' })
    const handle = await trial.submit(trial.shell('exit 42'))
    await forgotten(handle)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 42 })
  }, 90_000)

  test('an account that is not known is refused at once, in the words of Slurm', async () => {
    await use({ account: 'nobody' })
    const request = trial.shell('exit 0')
    const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
    expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringMatching(/account/) })
  })

  test('a quota of submissions that is reached defers, and the job is taken when there is room', async () => {
    await command('sacctmgr', '-i', 'modify', 'user', 'root', 'set', 'MaxSubmitJobs=1')
    await use({ account: 'physics' })
    const mark = join(trial.directory, 'mark')
    const first = trial.shell(`while [ ! -e ${mark} ]; do sleep 0.05; done`)
    const second = trial.shell('exit 0')
    const submitUntil = (request: typeof first, kind: string) =>
      until(
        `${request.id} is ${kind}`,
        async () => {
          const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
          return outcome?.kind === kind ? outcome : undefined
        },
        () => undefined,
        30_000,
      )
    const accepted = await submitUntil(first, 'accepted')
    const outcome = await submitUntil(second, 'deferred')
    expect(outcome).toMatchObject({ reason: expect.stringMatching(/MaxSubmitJob/) })
    writeFileSync(mark, '')
    if (accepted.kind === 'accepted') await trial.waitForEnd(accepted.handle)
    await submitUntil(second, 'accepted')
    await command('sacctmgr', '-i', 'modify', 'user', 'root', 'set', 'MaxSubmitJobs=-1')
  }, 120_000)

  test('a quota and arrays that are smaller than the batches are felt for', async () => {
    await command('sacctmgr', '-i', 'modify', 'user', 'root', 'set', 'MaxSubmitJobs=3')
    await use({ account: 'physics' })
    const mark = join(trial.directory, 'mark')
    const gate = `while [ ! -e ${mark} ]; do sleep 0.05; done`
    let left = Array.from({ length: 12 }, () => trial.shell(gate))
    const handles: JobHandle[] = []
    const submit = async () => {
      const outcomes = await trial.environment.submit(left, noSignal)
      for (const outcome of outcomes.values()) if (outcome.kind === 'accepted') handles.push(outcome.handle)
      expect([...outcomes.values()].filter(({ kind }) => kind === 'rejected')).toEqual([])
      left = left.filter(({ id }) => outcomes.get(id)?.kind !== 'accepted')
      return handles
    }
    const whenTaken = (count: number) =>
      until(
        `${count} jobs are taken`,
        async () => ((await submit()).length >= count ? true : undefined),
        () => `${handles.length}`,
        60_000,
      )
    await whenTaken(3)
    expect(handles).toHaveLength(3)
    writeFileSync(mark, '')
    await command('sacctmgr', '-i', 'modify', 'user', 'root', 'set', 'MaxSubmitJobs=-1')
    await whenTaken(12)
    for (const handle of handles)
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
  }, 180_000)

  test('a job that asks for more time than its quality of service allows is refused at once', async () => {
    await command('sacctmgr', '-i', 'modify', 'qos', 'normal', 'set', 'MaxWall=00:05:00', 'Flags=DenyOnLimit')
    await use({ account: 'physics', time: '2 h' })
    const request = trial.shell('exit 0')
    const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
    expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringMatching(/MaxWall/) })
    await command('sacctmgr', '-i', 'modify', 'qos', 'normal', 'set', 'MaxWall=-1', 'Flags=-1')
  }, 60_000)
})

async function forgotten(handle: JobHandle): Promise<void> {
  await until(
    'Slurm has forgotten the job',
    async () =>
      (await command('squeue', '-h', '-t', 'all', '-o', '%i')).includes(handle.nativeId) ? undefined : true,
    () => undefined,
    60_000,
  )
}

describeWith('slurm', 'a Slurm that forgets and has no accounting', () => {
  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 1, minJobAge: 2 })
  }, 60_000)
  afterAll(() => slurm.stop())

  test('a job that was killed and forgotten is lost, and never a success', async () => {
    await use()
    const handle = await submitBegun()
    expect(await slurm.signalJob(handle.nativeId, 'SIGKILL')).toBeGreaterThan(0)
    await forgotten(handle)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'lost' })
  }, 90_000)
})

describeWith('cgroup', 'limits of Slurm', () => {
  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 1, memoryLimit: 'cgroup' })
  }, 60_000)
  afterAll(() => slurm.stop())

  test('a job that needs too much memory is stopped for that', async () => {
    await use({ memory: '40 MB' })
    const handle = await trial.submit(trial.request(['perl', '-e', '$x = "x" x 300_000_000; sleep 600']))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'out-of-memory' })
  }, 60_000)

  test('a job that runs longer than Slurm lets it is stopped for that', async () => {
    await use({ extraDirectives: ['--time=0:01'] })
    const handle = await trial.submit(trial.shell('echo begun; exec sleep 600'))
    let seen = ''
    const end = await until(
      'Slurm ends it, which looks every half minute',
      async () => {
        const observation = await trial.observe(handle)
        seen = `${JSON.stringify(observation)} ${await command('squeue', '-h', '-t', 'all', '-o', '%i %T %l %M %r')}`
        return observation.kind === 'stopped' ? observation : undefined
      },
      () => seen,
      140_000,
    )
    expect(end).toMatchObject({ cause: 'timeout' })
  }, 180_000)
})
