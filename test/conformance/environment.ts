import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toJobId, type Environment, type JobHandle, type JobId } from '../../src/environment/environment.ts'
import { untilNoProcessWith } from './processes.ts'
import { noSignal, Trial, usualPatienceMs } from './trial.ts'
import { until } from './until.ts'

const awkward = 'ü ß 漢 "double" \'single\' $HOME `id` \\ * ;&|<>()#!~'

/**
 * What every environment must do, whatever lies behind it. `make` gives a fresh environment that keeps whatever it
 * must remember in `directory`; a second one made on the same directory stands for the next life of the server.
 * Jobs are small `sh` scripts: where they run there must be sh, cat, mkdir, ln, seq, sleep and wc. One job at a time is
 * enough. `patienceMs` is how long a few jobs may take, `submit` or `observe` of fifty half as long again, and a check
 * twice as long. `isWanted` says by their names which checks are made, where all of them would take too long: of an
 * environment that another row makes all of.
 */
export function describeEnvironment(
  name: string,
  make: (directory: string) => Promise<Environment>,
  patienceMs = usualPatienceMs,
  isWanted: (test: string) => boolean = () => true,
): void {
  describe(`the environment ${name}`, { timeout: 2 * patienceMs }, () => {
    let trial: Trial
    beforeEach(async (context) => {
      trial = new Trial(make, patienceMs, 1.5 * patienceMs)
      await trial.open()
      if (!isWanted(context.task.name)) context.skip('made in another row')
    })
    afterEach(() => trial.close())

    test('answers a check', async () => {
      await expect(trial.environment.check(noSignal)).resolves.toBeUndefined()
    })

    test('reports exit codes as they are: 0, 7, 99, 100, 130, 137, 143, 255', async () => {
      const codes = [0, 7, 99, 100, 130, 137, 143, 255]
      const ends = await trial.runAll(codes.map((code) => trial.shell(`exit ${code}`)))
      expect(ends).toMatchObject(codes.map((exitCode) => ({ kind: 'exited', exitCode })))
    })

    test('a program that does not exist exits with 127 and a word about it', async () => {
      const { end, stderr } = await trial.run(trial.request(['no-such-program-anywhere']))
      expect(end).toMatchObject({ kind: 'exited', exitCode: 127 })
      expect(stderr).toContain('no-such-program-anywhere')
    })

    test('a job that a signal ended is stopped, not exited', async () => {
      // Not SIGINT: what a shell without a terminal starts in the background ignores it. Not SIGPIPE: jobs of HTCondor
      // ignore it from their start.
      const signals = ['KILL', 'TERM', 'USR1', 'SEGV']
      const ends = await trial.runAll(signals.map((signal) => trial.shell(`kill -${signal} $$`)))
      expect(ends).toMatchObject(signals.map(() => ({ kind: 'stopped', cause: 'signal' })))
    })

    test('brings declared outputs byte for byte, and both logs', async () => {
      const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => (index * 7) % 256))
      writeFileSync(join(trial.workDirectory, 'input.bin'), bytes)
      const { collected, stdout, stderr, read } = await trial.run(
        trial.shell(
          'cat input.bin > result.bin; mkdir -p deep/er; cat input.bin > deep/er/r; echo out; echo err >&2',
          {
            outputs: [{ path: 'result.bin' }, { path: './deep/er/r' }],
          },
        ),
      )
      expect(collected).toMatchObject({ files: ['result.bin', './deep/er/r'], missing: [] })
      expect(read('result.bin')).toEqual(bytes)
      expect(read('deep/er/r')).toEqual(bytes)
      expect([stdout, stderr]).toEqual(['out\n', 'err\n'])
    })

    test('a directory is an output with all that lies in it', async () => {
      const { collected, read } = await trial.run(
        trial.shell('mkdir -p out/sub; echo 1 > out/one; echo 2 > out/sub/two', {
          outputs: [{ path: 'out' }],
        }),
      )
      expect(collected).toMatchObject({ files: ['out'], missing: [] })
      expect([String(read('out/one')), String(read('out/sub/two'))]).toEqual(['1\n', '2\n'])
    })

    test('tells which required outputs are missing, and is silent about optional ones', async () => {
      const { end, collected } = await trial.run(
        trial.shell('exit 0', { outputs: [{ path: 'needed' }, { path: 'maybe', optional: true }] }),
      )
      expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
      expect(collected).toMatchObject({ files: [], missing: ['needed'] })
    })

    test('brings logs and outputs of a failed job too', async () => {
      const { stdout, stderr, read } = await trial.run(
        trial.shell('echo out; echo err >&2; echo part > result; exit 3', { outputs: [{ path: 'result' }] }),
      )
      expect([stdout, stderr, String(read('result'))]).toEqual(['out\n', 'err\n', 'part\n'])
    })

    test('passes arguments, variables and file names unchanged', async () => {
      const name = `file ${awkward.replaceAll('/', '')}\nsecond line`
      writeFileSync(join(trial.workDirectory, name), 'content')
      const { stdout, read } = await trial.run(
        trial.request(
          ['sh', '-c', 'printf "%s|%s" "$1" "$WORD"; cat "$2" > "$3"', 'sh', awkward, name, `${name}.out`],
          {
            env: { WORD: `${awkward}\nsecond\tline` },
            outputs: [{ path: `${name}.out` }],
          },
        ),
      )
      expect(stdout).toBe(`${awkward}|${awkward}\nsecond\tline`)
      expect(String(read(`${name}.out`))).toBe('content')
    })

    test('places inputs where they are asked for', async () => {
      const from = join(trial.directory, 'elsewhere')
      writeFileSync(from, 'from elsewhere')
      mkdirSync(join(trial.workDirectory, 'data'))
      writeFileSync(join(trial.workDirectory, 'data/sibling'), 'sibling')
      const { stdout } = await trial.run(
        trial.shell('cat data/x.csv data/sibling', { inputs: [{ from, to: 'data/x.csv' }] }),
      )
      expect(stdout).toBe('from elsewheresibling')
    })

    test('what a job writes leaves the work directory alone', async () => {
      mkdirSync(join(trial.workDirectory, 'data'))
      writeFileSync(join(trial.workDirectory, 'data/x.csv'), 'original')
      const { read } = await trial.run(
        trial.shell('echo changed > data/x.csv; echo new > new', { outputs: [{ path: 'data/x.csv' }] }),
      )
      expect(String(read('data/x.csv'))).toBe('changed\n')
      expect(readFileSync(join(trial.workDirectory, 'data/x.csv'), 'utf8')).toBe('original')
      expect(readdirSync(trial.workDirectory)).toEqual(['data'])
    })

    test('what many jobs share is there for each of them', async () => {
      const runtime = join(trial.directory, 'runtime')
      mkdirSync(join(runtime, 'lib'), { recursive: true })
      writeFileSync(join(runtime, 'lib/program'), '#!/bin/sh\necho "program $1"', { mode: 0o755 })
      writeFileSync(join(trial.directory, 'table'), 'table')
      const shared = [
        { from: runtime, to: '.runtime' },
        { from: join(trial.directory, 'table'), to: 'tables/one' },
      ]
      for (const number of [1, 2]) {
        const script = `.runtime/lib/program ${number}; cat tables/one`
        const { stdout } = await trial.run(trial.shell(script, { shared }))
        expect(stdout).toBe(`program ${number}\ntable`)
      }
    })

    test('a job runs in its own directory, knows its id and has nothing to read', async () => {
      const request = trial.shell(
        'wc -c; echo "$MOLEHILL_JOB_ID"; test "$PWD" -ef "$MOLEHILL_JOB_DIRECTORY" && pwd',
      )
      const { stdout } = await trial.run(request)
      const [count, id, directory] = stdout.trim().split('\n')
      expect([count?.trim(), id]).toEqual(['0', request.id])
      expect(directory).not.toBe(trial.workDirectory)
    })

    test('takes 50 jobs in one submit and keeps them apart', async () => {
      const requests = Array.from({ length: 50 }, (_, index) =>
        trial.shell(`echo ${index}; exit ${index % 5}`),
      )
      const handles = await trial.submitAll(requests)
      const ends = await trial.waitForAll(handles)
      expect(ends.map((end) => end.kind === 'exited' && end.exitCode)).toEqual(
        requests.map((_, index) => index % 5),
      )
      const results = await Promise.all(handles.map(async (handle) => trial.collect(handle)))
      expect(results.map(({ stdout }) => stdout)).toEqual(requests.map((_, index) => `${index}\n`))
    })

    test('rejects what it can never run, and runs the others of the batch', async () => {
      const good = trial.shell('exit 0')
      const empty = trial.request([])
      const outside = trial.shell('exit 0', { outputs: [{ path: '../x' }] })
      const { resources } = trial.environment.capabilities
      const unsupported = (['gpus', 'nodes', 'memoryBytes'] as const).filter(
        (name) => !resources.includes(name),
      )
      const greedy = unsupported.map((name) => trial.shell('exit 0', { resources: { [name]: 1 } }))
      const outcomes = await trial.environment.submit([empty, outside, good, ...greedy], noSignal)
      for (const { id } of [empty, outside, ...greedy])
        expect(outcomes.get(id)).toMatchObject({ kind: 'rejected' })
      const outcome = outcomes.get(good.id)
      if (outcome?.kind !== 'accepted') throw new Error(JSON.stringify(outcome))
      expect(await trial.waitForEnd(outcome.handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    })

    test('submitting the same job twice runs it once', async (context) => {
      context.skip(!trial.environment.capabilities.sharedFileSystem, 'its jobs cannot leave a mark here')
      const mark = join(trial.directory, 'mark')
      const request = trial.shell('echo x >> "$MARK"', { env: { MARK: mark } })
      await trial.submit(request)
      await trial.waitForEnd(await trial.submit(request))
      expect(readFileSync(mark, 'utf8')).toBe('x\n')
    })

    test('cancels a running job, whose logs can still be collected', async () => {
      const handle = await trial.submit(trial.shell('echo begun; exec sleep 600'))
      await trial.waitForRunning(handle)
      await trial.environment.cancel([handle], noSignal)
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
      expect((await trial.collect(handle)).collected.missing).toEqual([])
      // Wherever its processes can be seen from here.
      await untilNoProcessWith(`MOLEHILL_JOB_ID=${handle.id}\0`)
    })

    test('cancels jobs right after submit, whatever state they are in', async () => {
      const handles: JobHandle[] = []
      for (let count = 0; count < 4; count += 1)
        handles.push(
          ...(await trial.submitAll(Array.from({ length: 5 }, () => trial.shell('exec sleep 600')))),
        )
      await trial.environment.cancel(handles, noSignal)
      const cancelled = handles.map(() => ({ kind: 'stopped', cause: 'cancelled' }))
      expect(await trial.waitForAll(handles)).toMatchObject(cancelled)
      await trial.collect(handles[19]!)
    })

    test('cancelling after the end changes nothing', async () => {
      const { handle } = await trial.run(trial.shell('exit 4'))
      await trial.environment.cancel([handle], noSignal)
      expect(await trial.observe(handle)).toMatchObject({ kind: 'exited', exitCode: 4 })
    })

    test('shows the end of what a job has printed while it runs', async (context) => {
      const { environment } = trial
      context.skip(environment.readPrinted === undefined, 'it cannot look at jobs that run')
      // Where both streams are one they stand in the order in which they came, which two at once do not have.
      const handle = await trial.submit(trial.shell('seq 1 9000; sleep 2; echo trouble >&2; exec sleep 600'))
      await trial.waitForRunning(handle)
      const read = async () => environment.readPrinted?.(handle, 2000, noSignal)
      const printed = await until('it has printed all', async () => {
        const text = await read()
        return text?.includes('\n9000\n') === true && text.includes('trouble\n') ? text : undefined
      })
      expect(printed.length).toBeLessThanOrEqual(2000)
      expect(printed).toMatch(/^\d{4}\n/)
      // It makes room: a place may run one job at a time.
      await environment.cancel([handle], noSignal)
      await trial.waitForEnd(handle)
      const ended = await trial.run(trial.shell('echo over'))
      expect(['', 'over\n']).toContain(await environment.readPrinted?.(ended.handle, 2000, noSignal))
    })

    test('observes every handle; one it does not know is lost', async () => {
      const known = await trial.submit(trial.shell('exit 0'))
      const unknown: JobHandle = { ...known, id: toJobId('never-submitted'), nativeId: 'never-submitted' }
      const observations = await trial.environment.observe([known, unknown], noSignal)
      expect([...observations.keys()].sort()).toEqual([known.id, unknown.id].sort())
      expect(observations.get(unknown.id)).toMatchObject({ kind: 'lost' })
    })

    test('recovers running and ended jobs from their ids alone', async () => {
      const ended = await trial.run(trial.shell('exit 5'))
      const running = await trial.submit(trial.shell('exec sleep 600'))
      const found = await trial.environment.recover(
        [ended.handle.id, running.id, toJobId('unknown-id')],
        noSignal,
      )
      expect(found.map(({ id }) => id).sort()).toEqual([ended.handle.id, running.id].sort())
      const recovered = found.find(({ id }) => id === ended.handle.id)
      expect(await trial.observe(recovered!)).toMatchObject({ kind: 'exited', exitCode: 5 })
    })

    test('an aborted submit leaves nothing that recover cannot find', async () => {
      const abort = new AbortController()
      const request = trial.shell('exec sleep 600')
      const submitting = trial.environment.submit([request], abort.signal).catch(() => undefined)
      abort.abort()
      const wasAccepted = (await submitting)?.get(request.id)?.kind === 'accepted'
      const found = await trial.environment.recover([request.id], noSignal)
      expect(found.length).toBeGreaterThanOrEqual(wasAccepted ? 1 : 0)
      // Whatever came of it, the same request can be asked again and is one job.
      const handle = await trial.submit(request)
      await trial.environment.cancel([handle], noSignal)
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped' })
    })

    test('collects twice with the same result', async () => {
      const { handle, read } = await trial.run(trial.shell('echo 1 > r', { outputs: [{ path: 'r' }] }))
      const again = await trial.collect(handle)
      expect(again.collected).toMatchObject({ files: ['r'], missing: [] })
      expect(String(read('r'))).toBe('1\n')
    })

    test('releases twice in silence, and a released job is lost', async () => {
      const { handle } = await trial.run(trial.shell('exit 0'))
      await trial.environment.release([handle], noSignal)
      await trial.environment.release([handle], noSignal)
      expect(await trial.observe(handle)).toMatchObject({ kind: 'lost' })
    })

    test('releasing a running job ends it', async () => {
      const handle = await trial.submit(trial.shell('exec sleep 600'))
      await trial.waitForRunning(handle)
      await trial.environment.release([handle], noSignal)
      expect(await trial.observe(handle)).toMatchObject({ kind: 'lost' })
    })

    test('nothing is left of released jobs', async () => {
      const request = trial.shell('mkdir -p a/b; echo x > a/b/c; ln -s / root', { outputs: [{ path: 'a' }] })
      const { handle } = await trial.run(request)
      await trial.environment.release([handle], noSignal)
      expect(readdirSync(trial.workDirectory)).toEqual([])
      mkdirSync(trial.ownDirectory, { recursive: true })
      expect(readdirSync(trial.ownDirectory).filter((name) => name.includes(request.id))).toEqual([])
    })

    test('a job that outlives its wall time is stopped: timeout', async (context) => {
      context.skip(!trial.environment.capabilities.resources.includes('wallTimeMs'), 'no wall time here')
      const { end } = await trial.run(trial.shell('exec sleep 600', { resources: { wallTimeMs: 100 } }))
      expect(end).toMatchObject({ kind: 'stopped', cause: 'timeout' })
    })

    test('a job whose time is up may end by itself, and its outputs are kept', async (context) => {
      context.skip(!trial.environment.capabilities.resources.includes('wallTimeMs'), 'no wall time here')
      const script = 'trap "echo part > result; exit 0" TERM; while :; do sleep 0.05; done'
      const { end, read } = await trial.run(
        trial.shell(script, { resources: { wallTimeMs: 700 }, outputs: [{ path: 'result' }] }),
      )
      expect(end).toMatchObject({ kind: 'stopped', cause: 'timeout' })
      expect(String(read('result'))).toBe('part\n')
    })

    test('a job that ends before its time is up has not timed out', async (context) => {
      context.skip(!trial.environment.capabilities.resources.includes('wallTimeMs'), 'no wall time here')
      const { end } = await trial.run(trial.shell('exit 3', { resources: { wallTimeMs: 600_000 } }))
      expect(end).toMatchObject({ kind: 'exited', exitCode: 3 })
    })

    test('nothing is left of an execution that was discarded, and it can begin again', async (context) => {
      const { environment } = trial
      context.skip(environment.discard === undefined, 'nothing lies anywhere but with the jobs')
      const name = `only-here-${process.pid}`
      writeFileSync(join(trial.workDirectory, name), 'content')
      const { handle } = await trial.run(trial.shell(`cat ${name}`))
      await environment.release([handle], noSignal)
      await environment.discard?.(trial.workDirectory, noSignal)
      await environment.discard?.(trial.workDirectory, noSignal)
      const left = readdirSync(trial.ownDirectory, { recursive: true, encoding: 'utf8' })
      expect(left.filter((path) => path.includes(name) || path.includes(handle.id))).toEqual([])
      expect((await trial.run(trial.shell(`cat ${name}`))).stdout).toBe('content')
    })

    test('discarding an execution ends the jobs that it still has', async (context) => {
      const { environment } = trial
      context.skip(environment.discard === undefined, 'nothing lies anywhere but with the jobs')
      const handle = await trial.submit(trial.shell('exec sleep 600'))
      await trial.waitForRunning(handle)
      await environment.discard?.(trial.workDirectory, noSignal)
      expect(await trial.observe(handle)).toMatchObject({ kind: 'lost' })
    })

    test('an inspection finds everything good', async (context) => {
      const { environment } = trial
      context.skip(environment.inspect === undefined, 'nothing to look at')
      const findings = (await environment.inspect?.(noSignal)) ?? []
      expect(findings.length).toBeGreaterThan(0)
      expect(findings.filter(({ isGood }) => !isGood)).toEqual([])
    })

    test('tells of changes without being asked', async (context) => {
      context.skip(!trial.environment.capabilities.watch, 'this environment is polled only')
      const abort = new AbortController()
      const told: JobId[] = []
      trial.environment.watch?.((ids) => told.push(...ids), abort.signal)
      const handle = await trial.submit(trial.shell('exit 0'))
      await until('a change is told', () => (told.includes(handle.id) ? true : undefined))
      await trial.waitForEnd(handle)
      abort.abort()
      await pause(10)
      const count = told.length
      const other = await trial.submit(trial.shell('exit 0'))
      await trial.waitForEnd(other)
      expect(told).toHaveLength(count)
    })

    test('keeps credentials and variables out of handles', async () => {
      const handle = await trial.submit(trial.shell('exit 0', { env: { SECRET: 'very-secret' } }))
      expect(JSON.stringify(handle)).not.toContain('very-secret')
    })

    test('closes twice in silence; jobs go on only where they survive', async () => {
      const handle = await trial.submit(trial.shell('exec sleep 600'))
      await trial.waitForRunning(handle)
      await trial.environment.close()
      await trial.environment.close()
      const next = await make(trial.ownDirectory)
      try {
        const found = await next.recover([handle.id], noSignal)
        expect(found).toHaveLength(next.capabilities.survivesRestart ? 1 : 0)
        const observation = (await next.observe([handle], noSignal)).get(handle.id)
        expect(observation?.kind).toBe(next.capabilities.survivesRestart ? 'running' : 'lost')
        await next.release(found, noSignal)
      } finally {
        await next.close()
      }
    })

    test('the next life of the server observes and collects what this one submitted', async (context) => {
      context.skip(!trial.environment.capabilities.survivesRestart, 'jobs end with the server here')
      const handle = await trial.submit(trial.shell('echo 1 > r', { outputs: [{ path: 'r' }] }))
      await trial.environment.close()
      await trial.open()
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
      expect((await trial.collect(handle)).collected.files).toEqual(['r'])
    })
  })
}
