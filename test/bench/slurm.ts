/**
 * What Molehill costs beside Slurm's own array jobs: `node test/bench/slurm.ts [ROUNDS [JOBS [DIRECTORY [NAME]]]]`.
 * Starts a Slurm of its own for each run; needs root and `scripts/install-services slurm`. The contenders take turns.
 * Files of jobs lie below DIRECTORY, in memory if nothing else is said, so that it is not the disk that is measured.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { plugin } from '../../environments/slurm/index.ts'
import { toJobId } from '../../src/environment/environment.ts'
import type { Attempt } from '../../src/job/attempt-source.ts'
import { EnvironmentTracker } from '../../src/job/tracker.ts'
import { runCommand } from '../daemons/run-command.ts'
import { startSlurm, type Slurm } from '../daemons/slurm.ts'

/** Times in milliseconds, from the first word to the scheduler. */
interface Times {
  readonly submitted: number
  readonly done: number
}

type Contender = (slurm: Slurm, directory: string, count: number) => Promise<Times>

const noOp = '/bin/true'
/** As many jobs at once as two processors run without waiting for each other. */
const pilots = { count: 2, slots: 2, time: '30 min', idleMs: 1000 }

const contenders: Readonly<Record<string, Contender>> = {
  'hand-written array': runArray,
  molehill: (slurm, directory, count) => runMolehill(slurm, directory, count, { sharesFiles: true }),
  'molehill, files travel': (slurm, directory, count) =>
    runMolehill(slurm, directory, count, { sharesFiles: false }),
  'pilots of molehill': (slurm, directory, count) =>
    runMolehill(slurm, directory, count, { sharesFiles: true, pilots }),
  'one sbatch per job': runSingles,
}

/** Through the tracker, as the engine does it: submitted, observed, collected and released. */
async function runMolehill(
  slurm: Slurm,
  directory: string,
  count: number,
  options: Readonly<Record<string, unknown>>,
): Promise<Times> {
  const workDirectory = join(directory, 'work')
  mkdirSync(workDirectory)
  writeFileSync(join(workDirectory, 'model.txt'), 'content')
  const environment = await plugin.create('bench', plugin.options.parse(options), {
    directory: join(directory, 'own'),
    variables: { ...process.env, ...slurm.variables },
    now: Date.now,
    warn: (message) => console.error(message),
  })
  const tracker = new EnvironmentTracker(environment, {
    now: Date.now,
    warn: (text) => console.error(text),
    chores: { load: () => Promise.resolve([]), save: () => Promise.resolve() },
  })
  const begin = performance.now()
  let submitted = 0
  let accepted = 0
  let good = 0
  let ended = 0
  const all = Promise.withResolvers<void>()
  const attempts = Array.from({ length: count }, (_, index): Attempt => {
    let isAccepted = false
    return {
      request: {
        id: toJobId(`b${process.pid}-${Math.round(begin)}-${index}`),
        command: [noOp],
        env: {},
        workDirectory,
        inputs: [],
        outputs: [],
        resources: { cpus: 1 },
      },
      directory: join(directory, 'outputs', String(index)),
      isMovable: false,
      submitting: () => Promise.resolve(),
      moved: (_state, handle) => {
        if (handle === undefined || isAccepted) return
        isAccepted = true
        accepted += 1
        if (accepted === count) submitted = performance.now() - begin
      },
      ended: (ending) => {
        if (ending.kind === 'exited' && ending.exitCode === 0) good += 1
        else console.error(JSON.stringify(ending))
        ended += 1
        if (ended === count) all.resolve()
        return Promise.resolve(true)
      },
    }
  })
  tracker.add({ take: (limit) => attempts.splice(0, limit) })
  tracker.wake()
  await all.promise
  const done = performance.now() - begin
  if (good !== count) throw new Error(`Expected ${count} jobs with exit code 0, got ${good}.`)
  await pause(500)
  await environment.discard?.(workDirectory, new AbortController().signal)
  await tracker.close()
  return { submitted, done }
}

async function runArray(slurm: Slurm, directory: string, count: number): Promise<Times> {
  const script = join(directory, 'script')
  writeFileSync(script, `#!/bin/sh\n#SBATCH --array=0-${count - 1}\n#SBATCH --output=/dev/null\n${noOp}\n`)
  const begin = performance.now()
  await sbatch(slurm, script)
  const submitted = performance.now() - begin
  await untilDone(slurm, count)
  return { submitted, done: performance.now() - begin }
}

async function runSingles(slurm: Slurm, directory: string, count: number): Promise<Times> {
  const script = join(directory, 'script')
  writeFileSync(script, `#!/bin/sh\n#SBATCH --output=/dev/null\n${noOp}\n`)
  const begin = performance.now()
  for (let index = 0; index < count; index += 1) await sbatch(slurm, script)
  const submitted = performance.now() - begin
  await untilDone(slurm, count)
  return { submitted, done: performance.now() - begin }
}

async function sbatch({ variables }: Slurm, script: string): Promise<void> {
  await runCommand(['sbatch', '--parsable', '--job-name=bench-plain', script], { variables })
}

/** Looks as often as Molehill does. */
async function untilDone({ variables }: Slurm, count: number): Promise<void> {
  const command = ['squeue', '-h', '-r', '-n', 'bench-plain', '-t', 'PD,R,CG,CF,CD,F', '-o', '%T']
  for (;;) {
    await pause(1000)
    const states = (await runCommand(command, { variables })).trim().split('\n')
    const failed = states.filter((state) => state === 'FAILED').length
    if (states.filter((state) => state === 'COMPLETED').length + failed < count) continue
    // Slurm itself fails to start some where very many begin at once.
    if (failed > 0) console.error(`${failed} of ${count} plain jobs failed`)
    break
  }
}

const [rounds = 3, count = 1000, place = '/dev/shm', only] = process.argv.slice(2)
for (let round = 0; round < Number(rounds); round += 1)
  for (const [name, run] of Object.entries(contenders)) {
    if (only !== undefined && !name.startsWith(only)) continue
    const directory = mkdtempSync(join(place, 'mhb-'))
    await using slurm = await startSlurm()
    try {
      const { submitted, done } = await run(slurm, directory, Number(count))
      const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`
      const load = loadavg()[0]?.toFixed(1)
      console.log(
        `${name}: ${count} jobs in the queue after ${seconds(submitted)}, all over after ${seconds(done)} (load ${load})`,
      )
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
