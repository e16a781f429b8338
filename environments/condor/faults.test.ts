import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import {
  EnvironmentError,
  type JobHandle,
  type JobRequest,
  type Observation,
  type SubmitOutcome,
} from '../../src/environment/environment.ts'
import { prefixedHost } from '../../test/conformance/prefixed-host.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { startCondor, type Condor } from '../../test/daemons/condor.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { plugin } from './index.ts'
import { condorScheduler } from './scheduler.ts'

const patienceMs = 120_000

describeWith('condor', 'when HTCondor fails', () => {
  let condor: Condor
  let lent: string
  let trial: Trial
  beforeAll(async () => {
    condor = await startCondor()
    lent = mkdtempSync(join(tmpdir(), 'molehill-test-condor-'))
    await condor.lend(lent)
    vi.stubEnv('TMPDIR', lent)
  }, 120_000)
  afterEach(() => trial.close())
  afterAll(async () => {
    vi.unstubAllEnvs()
    await condor.stop()
    rmSync(lent, { recursive: true, force: true })
  })

  function use(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
    trial = new Trial(async (directory) => {
      const parsed = plugin.options.parse({ submissionsPerMinute: 60_000, stopGraceMs: 1000, ...options })
      const context = { directory, variables: {}, now: Date.now, warn: () => undefined }
      const host = prefixedHost(condor.prefix)
      return openBatchEnvironment('condor', condorScheduler(parsed), parsed, context, { host })
    }, patienceMs)
    return trial.open()
  }

  const command = (...argv: readonly string[]) => runCommand([...condor.prefix, ...argv])
  /** HTCondor keeps jobs that are held, also when they are over. */
  const untilQueueIsEmpty = () => {
    let seen = ''
    return until(
      'no job is left in the queue',
      async () => {
        seen = (await command('condor_q', '-af', 'ClusterId', 'JobStatus', 'HoldReason')).trim()
        return seen === '' ? true : undefined
      },
      () => seen,
      patienceMs,
    )
  }

  /** A job that writes a mark and waits until there is a gate, and has begun to. */
  async function submitBegun(): Promise<{ handle: JobHandle; mark: string; gate: string }> {
    const [mark, gate] = [join(trial.directory, 'mark'), join(trial.directory, 'gate')]
    const script = `echo begun; echo x >> ${mark}; while [ ! -e ${gate} ]; do sleep 0.1; done; exit 5`
    const handle = await untilTaken(trial.shell(script))
    await until('the job has begun', () => (existsSync(mark) ? true : undefined), undefined, patienceMs)
    await trial.waitForRunning(handle)
    return { handle, mark, gate }
  }

  /** A quota counts jobs for some seconds after they have left the queue. */
  async function untilTaken(request: JobRequest): Promise<JobHandle> {
    let last: SubmitOutcome | undefined
    return until(
      `${request.id} is taken`,
      async () => {
        last = (await trial.environment.submit([request], noSignal)).get(request.id)
        return last?.kind === 'accepted' ? last.handle : undefined
      },
      () => last,
      patienceMs,
    )
  }

  async function untilSeen(
    handle: JobHandle,
    isWanted: (seen: Observation) => boolean,
  ): Promise<Observation> {
    let last: Observation | undefined
    return until(
      `${handle.id} is seen as wanted`,
      async () => {
        last = await trial.observe(handle)
        return isWanted(last) ? last : undefined
      },
      () => last,
      patienceMs,
    )
  }

  test('a person holds a job that waits, lets it go, holds it again and removes it', async () => {
    await use({ requirements: 'CanRunOurJobs =?= true' })
    const handle = await trial.submit(trial.shell('exit 0'))
    expect(await trial.observe(handle)).toMatchObject({ kind: 'queued' })
    const isHeld = (seen: Observation) => seen.kind === 'queued' && seen.reason?.includes('held') === true
    await command('condor_hold', handle.nativeId)
    expect(await untilSeen(handle, isHeld)).toMatchObject({ reason: expect.stringMatching(/condor_hold/) })
    await command('condor_release', handle.nativeId)
    await untilSeen(handle, (seen) => seen.kind === 'queued' && !isHeld(seen))
    await command('condor_hold', handle.nativeId)
    await untilSeen(handle, isHeld)
    await command('condor_rm', handle.nativeId)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  }, 150_000)

  test('a person removes a job that runs: its logs are there', async () => {
    await use()
    const { handle } = await submitBegun()
    await command('condor_rm', handle.nativeId)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect((await trial.collect(handle)).stdout).toBe('begun\n')
  }, 150_000)

  test('a job that its machine throws out has been preempted, and does not run again', async () => {
    await use()
    const { handle, mark } = await submitBegun()
    await command('condor_vacate_job', '-fast', handle.nativeId)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'preempted' })
    await untilQueueIsEmpty()
    expect(readFileSync(mark, 'utf8')).toBe('x\n')
  }, 150_000)

  test('a job with too much memory is held, and has ended for that', async () => {
    await use({ memory: '40 MB' })
    const handle = await trial.submit(trial.request(['perl', '-e', '$x = "x" x 200_000_000; sleep 600']))
    expect(await trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      cause: 'out-of-memory',
      message: expect.stringContaining('more memory than it asked for'),
    })
    await untilQueueIsEmpty()
  }, 150_000)

  test('a job that cannot begin is held, and has ended with the reason that HTCondor gives', async () => {
    // It waits for a moment, so that its directory can be taken away before it begins.
    await use({ requirements: `time() > ${Math.floor(Date.now() / 1000) + 5}` })
    const handle = await trial.submit(trial.shell('exit 0'))
    const batch = `host/executions/${String(handle.state['key'])}/batches/${String(handle.state['batch'])}`
    rmSync(join(trial.ownDirectory, batch), { recursive: true })
    expect(await trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringMatching(/held by HTCondor: .*No such file or directory/),
    })
    await untilQueueIsEmpty()
  }, 150_000)

  test('a job that ended by itself and is held afterwards leaves nothing in the queue', async () => {
    await use({ extraDirectives: ['periodic_hold = JobStatus == 2 && time() - JobCurrentStartDate > 10'] })
    // What HTCondor waits for is stopped: the job has ended, and HTCondor does not know it.
    const mark = join(trial.directory, 'mark')
    const script = `read -r _ _ _ waiting _ </proc/$PPID/stat; echo $waiting >${mark}; kill -STOP $waiting; exit 3`
    const handle = await trial.submit(trial.shell(script))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 3 })
    await trial.collect(handle)
    await trial.environment.release([handle], noSignal)
    await trial.environment.discard?.(trial.workDirectory, noSignal)
    const isStopping = async () => {
      const [, status, reason] = (
        await command('condor_q', '-af', 'ClusterId', 'JobStatus', 'HoldReason')
      ).split(' ')
      return status !== '2' || reason?.startsWith('undefined') === false || undefined
    }
    await until('HTCondor removes or holds it', isStopping, undefined, patienceMs)
    await command('kill', '-CONT', readFileSync(mark, 'utf8').trim())
    await untilQueueIsEmpty()
  }, 300_000)

  test.each([
    [{ requirements: '((' }, /[Pp]arse|expression/],
    [{ extraDirectives: ['request_disk = ('] }, /[Pp]arse|request_disk/i],
    [{ extraDirectives: ['notification = sometimes'] }, /[Nn]otification/],
  ])(
    '%j is refused at once, in the words of HTCondor',
    async (options, words) => {
      await use(options)
      const request = trial.shell('exit 0')
      const outcome = (await trial.environment.submit([request], noSignal)).get(request.id)
      expect(outcome).toMatchObject({ kind: 'rejected', reason: expect.stringMatching(words) })
    },
    60_000,
  )

  test('a quota of jobs that is reached defers, and the job is taken when there is room', async () => {
    await condor.configure(['MAX_JOBS_PER_OWNER = 1'])
    try {
      await use()
      const { handle, gate } = await submitBegun()
      const request = trial.shell('exit 0')
      const submit = async () => (await trial.environment.submit([request], noSignal)).get(request.id)
      expect(await submit()).toMatchObject({ kind: 'deferred', reason: expect.stringMatching(/MAX_JOBS/) })
      writeFileSync(gate, '')
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 5 })
      expect(await trial.waitForEnd(await untilTaken(request))).toMatchObject({ kind: 'exited', exitCode: 0 })
    } finally {
      await condor.configure(['MAX_JOBS_PER_OWNER = 100000'])
    }
  }, 150_000)

  test('the queue is killed: an error of the environment; jobs go on, end meanwhile and are told after', async () => {
    await use()
    const { handle, mark, gate } = await submitBegun()
    await condor.killSchedd()
    await expect(trial.observe(handle)).rejects.toThrow(EnvironmentError)
    writeFileSync(gate, '')
    const answers = async () =>
      command('condor_q').then(
        () => true,
        () => undefined,
      )
    await until('the queue is back', answers, undefined, patienceMs)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 5 })
    expect(readFileSync(mark, 'utf8')).toBe('x\n')
  }, 150_000)

  test('all of HTCondor is killed: what is submitted then starts nothing, and one job when it is repeated', async () => {
    await use()
    const { handle, mark, gate } = await submitBegun()
    await condor.kill()
    const request = trial.shell(`echo y >> ${join(trial.directory, 'second')}`)
    const outcome = await trial.environment.submit([request], noSignal).then(
      (outcomes) => outcomes.get(request.id)?.kind,
      (error: unknown) => error,
    )
    expect(outcome instanceof EnvironmentError || outcome === 'deferred').toBe(true)
    writeFileSync(gate, '')
    await condor.restart()
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 5 })
    expect((await trial.run(request)).end).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(readFileSync(mark, 'utf8')).toBe('x\n')
    expect(readFileSync(join(trial.directory, 'second'), 'utf8')).toBe('y\n')
  }, 200_000)
})
