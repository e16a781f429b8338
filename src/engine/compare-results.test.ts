import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startTestEngine } from '../../test/helpers/engine.ts'
import { fakeArchive, fakeRequest, understand } from '../../test/helpers/fake-volunteer.ts'
import type { CollectedFiles } from '../environment/environment.ts'
import type { FunctionCall, FunctionOutcome } from '../script/contract.ts'
import { openAccounts } from '../volunteers/accounts.ts'
import type { Volunteers } from '../volunteers/contract.ts'
import { openVolunteers } from '../volunteers/open-volunteers.ts'
import { exampleSettings } from '../volunteers/project.fixtures.ts'
import type { PlanCommandTask } from '../workflow/plan.ts'
import { packCommands } from './command-jobs.ts'
import { compareResults } from './compare-results.ts'
import type { Job } from './job.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-compare-'))
})

afterEach(() => rm(directory, { recursive: true }))

describe('the function of a script', () => {
  const task: PlanCommandTask = {
    kind: 'command',
    command: { kind: 'argv', words: [{ texts: ['true'], values: [] }] },
    env: {},
    inputs: [],
    outputs: [
      { name: 'table', type: { base: 'file', dimensions: 0 }, reader: { kind: 'keep-file', path: 'table' } },
      { name: 'sum', type: { base: 'number', dimensions: 0 }, reader: { kind: 'read-stdout' } },
    ],
  }

  /** Compares two results as a function says that is told them. */
  async function compare(
    say: (call: FunctionCall) => Promise<FunctionOutcome>,
    sums: readonly [string, string] = ['1', '2'],
  ) {
    const paths = { workDirectory: directory, filesDirectory: join(directory, 'files') }
    await mkdir(paths.filesDirectory)
    const capsule = {
      kind: 'capsule',
      name: 'model',
      task,
      environments: [0],
      groupSize: 1,
      retry: { limit: 0, delayMs: 0, factor: 1 },
      timeoutMs: null,
      tolerance: 0,
      hooks: [],
      scope: null,
      location: null,
      agree: 'model.agree',
    } as const
    const job = { id: 7, activation: { context: {} } } as unknown as Job
    const bring =
      (sum: string) =>
      async (place: string): Promise<CollectedFiles> => {
        await writeFile(join(place, 'table'), `of ${sum}`)
        const logs = { stdout: join(place, '.stdout'), stderr: join(place, '.stderr') }
        await writeFile(logs.stdout, sum)
        await writeFile(logs.stderr, '')
        return { files: ['table'], missing: [], ...logs }
      }
    const host = {
      parallelism: 1,
      call: async (_: string, calls: readonly FunctionCall[]) =>
        Promise.all(calls.map(async (call) => say(call))),
      close: async () => undefined,
    }
    const options = { id: 'm1-7-1', attemptNumber: 1, directory: join(directory, 'attempt') }
    const packed = packCommands(capsule, [job], paths, options as Parameters<typeof packCommands>[3])
    return compareResults(
      { host, paths, capsule, package: packed, name: 'm1-7-1.compared' },
      [bring(sums[0]), bring(sums[1])],
      new AbortController().signal,
    )
  }

  test('is told the outputs of both, with files where they lie', async () => {
    const told: unknown[] = []
    const sameness = await compare(async ({ inputs }) => {
      for (const result of [inputs['one'], inputs['other']]) {
        const { table, sum } = result as { readonly table: string; readonly sum: number }
        told.push([sum, await readFile(table, 'utf8')])
      }
      return { kind: 'returned', result: true }
    })
    expect(told).toEqual([
      [1, 'of 1'],
      [2, 'of 2'],
    ])
    expect(sameness).toEqual({ kind: 'same' })
    await expect(readFile(join(directory, 'files/m1-7-1.compared'))).rejects.toThrow('ENOENT')
  })

  test.each([
    [{ kind: 'returned', result: false }, { kind: 'different' }],
    [{ kind: 'returned', result: 1 }, { message: expect.stringContaining('returned number; expected true') }],
    [{ kind: 'threw', message: 'no', stack: '' }, { message: 'The agree of model cannot tell: no' }],
    [{ kind: 'timeout', message: 'too long' }, { message: expect.stringContaining('too long') }],
    [{ kind: 'crashed', message: 'gone' }, { message: expect.stringContaining('gone') }],
  ] as const)('that comes to %o never makes them the same', async (outcome, expected) => {
    expect(await compare(async () => outcome)).toMatchObject(expected)
  })

  test('is not asked of results that cannot be read, which are the same where they fail alike', async () => {
    const never = async (): Promise<FunctionOutcome> => ({ kind: 'returned', result: true })
    expect(await compare(never, ['1', 'no number'])).toEqual({ kind: 'different' })
  })
})

describe('on hosts of volunteers', () => {
  const accountSecret = randomBytes(32)
  let volunteers: Volunteers

  beforeEach(async () => {
    volunteers = await openVolunteers({
      directory,
      accountSecret,
      settings: exampleSettings(),
      signatureOf: () => Promise.resolve('f'.repeat(256)),
      warn: () => undefined,
    })
  })

  afterEach(() => volunteers.close())

  /** A host that asks for work until it has some, and then reports what it is told. */
  async function attach(name: string) {
    using accounts = openAccounts(join(directory, 'project.db'), accountSecret, Date.now)
    const authenticator = accounts.authenticatorOf(accounts.add(name))
    let host = { authenticator, hostId: 0, sequenceNumber: 0, name, held: [] as string[] }
    const talk = async (request: object) => {
      const answer = understand(await volunteers.exchange(fakeRequest({ ...host, ...request })))
      host = { ...host, hostId: answer.hostId ?? host.hostId, sequenceNumber: host.sequenceNumber + 1 }
      return answer
    }
    const task = await vi.waitFor(
      async () => {
        // A host that comes too early gets nothing: each try is another one.
        host = { ...host, hostId: 0, sequenceNumber: 0, name: `${name}-${randomBytes(4).toString('hex')}` }
        const [task] = (await talk({ wantedSeconds: 1 })).tasks
        expect(task, `${name} gets work`).toBeDefined()
        return task
      },
      { timeout: 60_000, interval: 1000 },
    )
    return async (printed: string) => {
      const { name: copy = '', outputName = '' } = task ?? {}
      const file = await volunteers.uploadOf(outputName)
      const archive = fakeArchive(printed)
      await writeFile(file?.path ?? '', archive)
      const md5 = createHash('md5').update(archive).digest('hex')
      await volunteers.uploaded(outputName, { bytes: archive.length, md5 })
      await talk({ results: [{ name: copy }] })
    }
  }

  test(
    'it says which results count, also when the server was off as they came',
    { timeout: 180_000 },
    async () => {
      let engine = await startTestEngine({ volunteers })
      try {
        const id = await engine.start({
          'workflow.ts': `
          import { boinc, commandTask, display, number, readStdout, shell } from 'molehill'
          const energy = number('energy')
          export default commandTask('model', { command: shell\`run\`, outputs: [readStdout(energy)] })
            .on(boinc({ quorum: 2, maxErrors: 3 }))
            .agree((one: { energy: number }, other: { energy: number }) => {
              if (one.energy > 100) throw new Error('nothing has so much')
              return Math.abs(one.energy - other.energy) < 0.1
            })
            .hook(display())`,
        })
        const [alice, bob] = [await attach('alice'), await attach('bob')]
        await alice('500')
        await bob('1.25')
        // The two do not agree.
        const carol = await attach('carol')
        engine = await engine.restart(() => carol('1.30'))
        const state = await engine.executions.ended(id, AbortSignal.timeout(60_000))
        expect(state.state).toBe('finished')
        expect(await engine.executions.output(id)).toContain('energy = 1.25')
      } finally {
        await engine[Symbol.asyncDispose]()
      }
    },
  )
})
