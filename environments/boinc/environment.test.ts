import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  EnvironmentError,
  toJobId,
  type JobHandle,
  type JobRequest,
} from '../../src/environment/environment.ts'
import type { WorkunitProgress } from '../../src/environment/volunteers.ts'
import { Problem } from '../../src/problem.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { plugin } from './index.ts'
import { FakeProject, host } from './project.fixtures.ts'

let project: FakeProject
let trial: Trial
let options: object
beforeEach(async () => {
  options = {}
  project = await FakeProject.start()
  trial = new Trial(
    (directory) =>
      plugin.create('boinc', plugin.options.parse(options), {
        directory,
        variables: {},
        volunteers: project,
        now: Date.now,
        warn: () => undefined,
      }),
    120_000,
  )
})
afterEach(async () => {
  await trial.close()
  await project[Symbol.asyncDispose]()
})

async function open(given: object = {}): Promise<void> {
  options = given
  await trial.open()
}

async function submitTogether(requests: readonly JobRequest[]): Promise<readonly JobHandle[]> {
  return trial.submitAll(requests)
}

test('a server without volunteers says how it gets some', async () => {
  const context = { directory: trial.ownDirectory, variables: {}, now: Date.now, warn: () => undefined }
  await expect(plugin.create('boinc', plugin.options.parse({}), context)).rejects.toThrow(
    'takes no volunteers',
  )
  await open()
})

test('jobs go together by the option `by`, and each ends as it does', { timeout: 180_000 }, async () => {
  await open({ by: 3 })
  const codes = [0, 3, 5, 7]
  const handles = await submitTogether(
    codes.map((code) => trial.shell(`echo ${code} >out; exit ${code}`, { outputs: [{ path: 'out' }] })),
  )
  const [first = ''] = handles.map(({ id }) => id)
  expect(handles.map(({ nativeId }) => nativeId)).toEqual([
    `${first}/1`,
    `${first}/2`,
    `${first}/3`,
    handles[3]?.id,
  ])
  expect([...project.filed.values()].map(({ inputs }) => inputs[0]?.name)).toHaveLength(2)
  expect(new Set([...project.filed.values()].map(({ inputs }) => inputs[0]?.name)).size).toBe(1)
  const ends = await trial.waitForAll(handles)
  expect(ends).toMatchObject(codes.map((exitCode) => ({ kind: 'exited', exitCode, host: host.name })))
  for (const [index, handle] of handles.entries())
    expect(String((await trial.collect(handle)).read('out'))).toBe(`${codes[index]}\n`)
  const [one, ...others] = handles
  await trial.environment.release([one!], noSignal)
  expect(project.filed.size).toBe(2)
  await trial.environment.release(others, noSignal)
  expect(project.filed.size).toBe(0)
  expect(readdirSync(join(trial.ownDirectory, 'work'))).toEqual([])
})

test('a member that was cancelled is, whatever its bundle comes to; all of them end the bundle', async () => {
  project.isRunning = false
  await open({ by: 2 })
  const [one, two] = await submitTogether([trial.shell('exit 0'), trial.shell('exit 0')])
  await trial.environment.cancel([one!], noSignal)
  expect(await trial.observe(one!)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  expect(await trial.observe(two!)).toEqual({ kind: 'queued' })
  expect((await project.progressOf([one!.id])).get(one!.id)).toEqual({ kind: 'queued' })
  project.run(one!.id)
  expect(await trial.waitForEnd(two!)).toMatchObject({ kind: 'exited', exitCode: 0 })
  expect(await trial.observe(one!)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  const [three, four] = await submitTogether([trial.shell('exit 0'), trial.shell('exit 0')])
  await trial.environment.cancel([three!, four!], noSignal)
  expect((await project.progressOf([three!.id])).get(three!.id)).toEqual({ kind: 'cancelled' })
})

test.each<readonly [WorkunitProgress, object]>([
  [
    { kind: 'queued', reason: 'sent to here' },
    { kind: 'queued', reason: 'sent to here' },
  ],
  [
    { kind: 'running', host: 'here' },
    { kind: 'running', host: 'here' },
  ],
  [
    { kind: 'failed', cause: 'lost', message: 'late' },
    { kind: 'lost', message: 'late' },
  ],
  [
    { kind: 'failed', cause: 'preempted', message: 'taken' },
    { kind: 'stopped', cause: 'preempted', message: 'taken' },
  ],
  [{ kind: 'cancelled' }, { kind: 'stopped', cause: 'cancelled' }],
])('what the project says, %o, is told as it is meant', async (progress, expected) => {
  project.isRunning = false
  await open()
  const handle = await trial.submit(trial.shell('exit 0'))
  project.say(handle.id, progress)
  expect(await trial.observe(handle)).toMatchObject(expected)
})

test('work is filed with the copies, limits and programs that were asked for', async () => {
  project.isRunning = false
  await open({
    quorum: 2,
    agree: { relative: 1e-6 },
    maxErrors: 4,
    homogeneous: true,
    deadline: '2 d',
    memory: '1 GB',
    results: '10 MB',
  })
  const handle = await trial.submit(trial.shell('exit 0', { resources: { wallTimeMs: 60_000 } }))
  const filed = project.filed.get(handle.id)
  expect(filed).toMatchObject({
    environment: 'boinc',
    deadlineMs: 2 * 86_400_000,
    memoryBytes: 1024 ** 3,
    outputBytesAtMost: 10 * 1024 ** 2,
    estimatedMs: 60_000,
    cpus: 1,
    replication: {
      target: 2,
      quorum: 2,
      errorsAtMost: 4,
      copiesAtMost: 5,
      isHomogeneous: true,
      agreement: { kind: 'numbers', relative: 1e-6, absolute: 0 },
    },
    application: { title: 'Molehill', version: 100, resultName: 'result.tar.gz' },
  })
  // The launcher ends it, not the client, which would stay away for that.
  expect(filed?.wallTimeMs).toBeGreaterThan(3_600_000)
  expect(Object.keys(filed?.application.platforms ?? {})).toEqual([
    'x86_64-pc-linux-gnu',
    'aarch64-unknown-linux-gnu',
  ])
  const [launcher] = filed?.application.platforms['x86_64-pc-linux-gnu'] ?? []
  expect(launcher?.signature).toBe(`signature of ${launcher?.md5}`)
  expect(readFileSync(launcher?.path ?? '', 'utf8')).toMatch(/^#!\/bin\/sh\n/)
})

test('a program that is not signed yet is named, with what to do', async () => {
  await open()
  project.signatureOf = () =>
    Promise.reject(
      new Problem('configuration-invalid', 'It is not signed.', { hint: 'Type molehill boinc sign FILE.' }),
    )
  const submitted = trial.environment.submit([trial.shell('exit 0')], noSignal)
  await expect(submitted).rejects.toThrow(
    /not signed. Type molehill boinc sign FILE. The file is .*molehill_launcher_/,
  )
  await expect(submitted).rejects.toBeInstanceOf(EnvironmentError)
})

test('what was filed before a crash is found again, and filed where the project did not get it', async () => {
  project.isRunning = false
  await open()
  const request = trial.shell('exit 0')
  await trial.submit(request)
  project.filed.delete(request.id)
  await trial.open()
  const [handle] = await trial.environment.recover([request.id], noSignal)
  expect(handle).toMatchObject({ id: request.id, nativeId: request.id })
  expect(project.filed.has(request.id)).toBe(true)
})

test('short jobs go together once it is known that they are short', { timeout: 180_000 }, async () => {
  await open()
  const requests = Array.from({ length: 30 }, () => trial.shell('exit 0'))
  const [first, ...others] = requests
  await trial.waitForEnd(await trial.submit(first!))
  project.isRunning = false
  const handles = await submitTogether(others)
  // Four processors.
  expect(new Set(handles.map(({ nativeId }) => nativeId.split('/')[0])).size).toBe(4)
})

test('an inspection lists hosts, and says where none was heard lately', async () => {
  project.hostList = [{ ...host, refused: 2, lastRefusal: 'The copy had ended: overdue.' }]
  await open()
  const findings = await trial.environment.inspect?.(noSignal)
  expect(findings).toMatchObject([
    {
      what: 'hosts',
      isGood: true,
      message: '1 of 1 hosts with 4 processors were heard in the last 24 hours.',
    },
    {
      what: 'host 1',
      isGood: true,
      message: expect.stringContaining('volunteer-1 of alice: x86_64-pc-linux-gnu'),
    },
  ])
  expect(await trial.environment.hosts?.(noSignal)).toEqual([
    {
      name: 'volunteer-1',
      description: expect.stringMatching(
        /^of alice: x86_64-pc-linux-gnu, 4 processors; heard.*2 reports refused, the last: The copy had ended: overdue;/,
      ),
    },
  ])
  project.hostList = []
  expect(await trial.environment.inspect?.(noSignal)).toMatchObject([
    { isGood: false, fix: expect.stringContaining('molehill boinc account add') },
  ])
  await expect(trial.environment.check(noSignal)).resolves.toBeUndefined()
})

test('what hosts have or is signed is the same for another environment, or after a restart', async () => {
  project.isRunning = false
  await open()
  mkdirSync(join(trial.directory, 'programs'))
  writeFileSync(join(trial.directory, 'programs/run'), 'program', { mode: 0o755 })
  mkdirSync(join(trial.workDirectory, 'data'))
  writeFileSync(join(trial.workDirectory, 'data/one'), '1')
  const request = trial.shell('exit 0', {
    shared: [{ from: join(trial.directory, 'programs'), to: 'programs' }],
  })
  const first = await trial.submit(request)
  await pause(1100)
  const other = new Trial(
    (directory) =>
      plugin.create('other', plugin.options.parse({}), {
        directory,
        variables: {},
        volunteers: project,
        now: Date.now,
        warn: () => undefined,
      }),
    120_000,
  )
  await other.open()
  try {
    const second = await other.submit({ ...request, id: toJobId('other-1') })
    const [one, two] = [first, second].map(({ id }) => project.filed.get(id))
    expect(two?.application.name).toBe(one?.application.name)
    expect(two?.inputs[0]?.name).toBe(one?.inputs[0]?.name)
    expect(one?.application.platforms['x86_64-pc-linux-gnu']).toHaveLength(2)
  } finally {
    await other.close()
  }
})

test('functions take the Node of each platform that the operator has, and only those run them', async () => {
  project.isRunning = false
  const [node, other, runtime] = ['node', 'node-arm64', 'runtime'].map((name) => join(trial.directory, name))
  if (node === undefined || other === undefined || runtime === undefined) throw new Error('expected paths')
  writeFileSync(node, 'Node of the server', { mode: 0o755 })
  writeFileSync(other, 'Node of others', { mode: 0o755 })
  mkdirSync(runtime)
  writeFileSync(join(runtime, 'run.js'), 'the language')
  await open({ nodePrograms: { 'aarch64-unknown-linux-gnu': other } })
  const handle = await trial.submit(
    trial.shell('exit 0', {
      shared: [
        { from: node, to: 'node' },
        { from: runtime, to: 'runtime' },
      ],
    }),
  )
  const { platforms = {} } = project.filed.get(handle.id)?.application ?? {}
  expect(Object.keys(platforms)).toEqual(['x86_64-pc-linux-gnu', 'aarch64-unknown-linux-gnu'])
  const [ours = [], theirs = []] = Object.values(platforms)
  // The launcher and the language are the same; Node is not, though it lies in the same place.
  expect(ours.map(({ name }, index) => name === theirs[index]?.name)).toEqual([true, false, true])
  expect(ours.map(({ openName }) => openName)).toEqual(theirs.map(({ openName }) => openName))
  const unpacked = ([, program]: typeof ours) =>
    gunzipSync(readFileSync(program?.path ?? '')).toString('latin1')
  expect(unpacked(ours)).toContain('Node of the server')
  expect(unpacked(theirs)).toContain('Node of others')
  const paths = (archive: string): readonly string[] => archive.match(/shared\/[\w./-]+/g) ?? []
  expect(paths(unpacked(theirs))).toEqual(paths(unpacked(ours)))
})

test('discarding an execution removes what hosts fetch for it', async () => {
  project.isRunning = false
  await open()
  const { id } = await trial.submit(trial.shell('exit 0'))
  const path = project.filed.get(id)?.inputs[0]?.path ?? ''
  expect(existsSync(path)).toBe(true)
  await trial.environment.discard?.(trial.workDirectory, noSignal)
  await until('its files are gone', () => (existsSync(path) ? undefined : true))
  expect(project.filed.size).toBe(0)
})
