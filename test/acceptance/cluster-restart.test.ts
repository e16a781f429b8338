import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { describeWith } from '../daemons/present.ts'
import { startSlurm, type Slurm } from '../daemons/slurm.ts'
import { tarGzip } from '../helpers/tar.ts'
import { startLife, TortureClient, type Life } from '../torture/server.ts'

const run = promisify(execFile)
const samples = 24
const patienceMs = 120_000

describeWith(['slurm'], 'a server on Slurm that is killed', () => {
  let slurm: Slurm
  let directory: string
  let life: Life | undefined
  const client = new TortureClient()

  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 2, cpusPerNode: 2 })
  }, patienceMs)
  afterAll(() => slurm.stop(), patienceMs)
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-cluster-restart-'))
  })
  afterEach(async () => {
    await life?.end('SIGTERM')
    await rm(directory, { recursive: true, force: true })
  }, patienceMs)

  const serve = async (): Promise<Life> =>
    (life = await startLife(join(directory, 'data'), { environment: slurm.variables }))

  test('again and again loses no job and starts none twice, function or command', async () => {
    const log = join(directory, 'runs')
    const workflow = `
      import { commandTask, csv, explore, functionTask, integer, range, readStdout, shell, slurm } from 'molehill'
      const cluster = slurm({ name: 'cluster', partition: 'main', submissionsPerMinute: 60000 })
      const n = integer('n'), square = integer('square')
      const say = commandTask('say', { command: shell\`echo \${n} >>${log}; sleep 0.5; echo $((\${n} * \${n}))\`, outputs: [readStdout(square)], inputs: [n] })
      const check = functionTask('check', { inputs: [n, square], outputs: [square], run: ({ n, square }) => {
        if (square !== n * n) throw new Error(n + ' came back as ' + square)
        return { square }
      } })
      export default explore(range(n, { from: 1, to: ${samples} }), say.on(cluster).next(check.on(cluster).hook(csv('squares.csv', { values: [n, square] }))))
    `
    await client.login(await serve())
    const archive = new Blob([new Uint8Array(tarGzip([{ name: 'workflow.ts', content: workflow }]))])
    const started = await client.post(life!, 'start', { script: 'workflow.ts' }, archive)
    expect(started).toMatchObject({ status: 200 })
    const id = String(started.json['id'])
    const state = async () => (await client.post(life!, 'state', { id })).json

    for (const enough of [0, samples / 4, samples]) {
      await until(
        `${enough} commands have begun`,
        () => (runs(log).length >= enough ? true : undefined),
        () => runs(log).length,
        patienceMs,
      )
      await life!.end('SIGKILL')
      await serve()
    }
    const last = await until(
      'it has ended',
      async () => {
        const now = await state()
        return now['state'] === 'running' ? undefined : now
      },
      () => life?.log().slice(-2000),
      patienceMs,
    )
    expect(last['error']).toBeUndefined()
    expect(last).toMatchObject({
      state: 'finished',
      environments: expect.arrayContaining([
        expect.objectContaining({ name: 'cluster', done: 2 * samples, failed: 0, running: 0 }),
      ]),
    })
    expect(runs(log).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: samples }, (_, index) => index + 1),
    )
    const rows = readFileSync(join(directory, 'data/executions', id, 'work/squares.csv'), 'utf8').trim()
    expect(rows.split('\n')).toHaveLength(samples + 1)

    expect(await client.post(life!, 'remove', { id })).toMatchObject({ status: 200 })
    const { stdout } = await run('squeue', ['--noheader'], { env: { ...process.env, ...slurm.variables } })
    expect(stdout).toBe('')
  }, 300_000)
})

function runs(log: string): readonly number[] {
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).map(Number) : []
}
