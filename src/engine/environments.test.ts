import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { startTestEngine, type TestEngine } from '../../test/helpers/engine.ts'
import { EnvironmentError } from '../environment/environment.ts'
import { FakeEnvironment } from '../environment/fake.ts'
import type { EnvironmentPlugin } from '../environment/plugin.ts'
import { loadPlugins } from '../environment/registry.ts'
import { writeFileDurably } from '../files/durable-file.ts'
import { createNamedEnvironments } from '../store/named-environments.ts'
import { openPreferences, secretsIn } from '../store/preferences.ts'
import { createSecrets } from '../store/secrets.ts'
import type { EnvironmentDefinition } from './contract.ts'

const password = 'correct horse battery staple'
const options = z.strictObject({ host: z.string(), password: z.string().optional() })

let directory: string
let engine: TestEngine
let whileMaking: () => void
/** Those that were made, in order. */
let made: { environment: FakeEnvironment; options: z.output<typeof options> }[]

/** A host whose jobs go on until somebody ends them. */
const remote: EnvironmentPlugin<z.output<typeof options>> = {
  kind: 'remote',
  options,
  secrets: ['password'],
  async create(name, options, context) {
    const environment = new FakeEnvironment(() => ({ outputs: {} }), { name, maxActiveJobs: 1 })
    made.push({ environment, options })
    whileMaking()
    context.warn(`using ${options.password}`)
    return environment
  },
}

async function open(): Promise<TestEngine> {
  const preferences = await openPreferences(join(directory, 'preferences.json'), writeFileDurably)
  const secrets = createSecrets(secretsIn(preferences), 'sesame')
  const plugins = new Map(await loadPlugins(new URL('../../environments/', import.meta.url)))
  plugins.set('remote', remote)
  const named = createNamedEnvironments(preferences, secrets)
  return startTestEngine({ named, plugins })
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-environments-'))
  made = []
  whileMaking = () => undefined
  engine = await open()
})

afterEach(async () => {
  await engine[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const hub: EnvironmentDefinition = {
  name: 'hub',
  kind: 'remote',
  options: { host: 'hub.example' },
  secrets: { password },
  isReplacing: false,
}

const onHub = {
  'workflow.ts': `
import { commandTask } from 'molehill'
export default commandTask('walk', { command: ['true'] }).on('hub')
`,
}

const environments = () => engine.executions.environments
const signal = AbortSignal.timeout(60_000)

async function tell(name = 'hub') {
  return (await environments().list()).find((each) => each.name === name)
}

async function runningJob(): Promise<string> {
  const id = await engine.start(onHub)
  await expect.poll(async () => (await tell())?.jobs.running, { timeout: 20_000 }).toBe(1)
  return id
}

test('a script runs on an environment by its name, with its secrets, and nothing shows them', async () => {
  await environments().add(hub)
  expect(await tell()).toEqual({
    name: 'hub',
    kind: 'remote',
    isNamed: true,
    options: { host: 'hub.example' },
    secrets: ['password'],
    capabilities: undefined,
    health: { state: 'unknown', message: 'It was not checked yet.', checkedAt: undefined },
    jobs: { ready: 0, submitted: 0, running: 0, done: 0, failed: 0 },
  })
  const id = await runningJob()
  const [one] = made
  expect(one?.options).toEqual({ host: 'hub.example', password })
  for (const { id } of one?.environment.accepted ?? []) one?.environment.finish(id)
  expect(await engine.executions.ended(id, signal)).toMatchObject({
    state: 'finished',
    environments: [
      { name: 'hub', kind: 'named', done: 1 },
      { name: 'local', done: 0 },
    ],
  })
  expect(await tell()).toMatchObject({
    jobs: { running: 0, done: 1 },
    capabilities: { maxActiveJobs: 1 },
    health: { state: 'good', message: 'It has told of its jobs.', checkedAt: expect.any(Number) },
  })
  const files = await readdir(engine.dataDirectory, { recursive: true, withFileTypes: true })
  for (const file of files.filter((each) => each.isFile()))
    expect(await readFile(join(file.parentPath, file.name), 'latin1'), file.name).not.toContain(password)
  expect(engine.warnings.join()).toContain('using [secret]')
  expect(JSON.stringify([engine.warnings, await environments().list()])).not.toContain(password)
})

test('a name that nobody has given is refused when the script is read, with the names that there are', async () => {
  await environments().add({ ...hub, name: 'cluster' })
  const refusal = {
    code: 'workflow-invalid',
    message: 'There is no environment named "hub".',
    hint: 'Named environments of this server: cluster.',
  }
  await expect(engine.start(onHub)).rejects.toMatchObject(refusal)
  expect(engine.executions.list()).toEqual([])
})

test('what executions use stays, but for its secrets', async () => {
  await environments().add(hub)
  const id = await runningJob()
  const conflict = { code: 'environment-conflict', message: '1 execution uses the environment hub.' }
  await expect(environments().remove('hub')).rejects.toMatchObject(conflict)
  const moved = { ...hub, options: { host: 'other' }, isReplacing: true }
  await expect(environments().add(moved)).rejects.toMatchObject(conflict)
  expect(await environments().add({ ...hub, secrets: { password: 'new one' }, isReplacing: true })).toEqual({
    isInUse: true,
  })
  await engine.executions.cancel(id)
  expect(await environments().add(moved)).toEqual({ isInUse: false })
  await environments().remove('hub')
  expect(await environments().list()).toMatchObject([{ name: 'local', isNamed: false }])
})

test('an execution that goes on after a restart finds the environment by its name', async () => {
  await environments().add(hub)
  const id = await runningJob()
  made = []
  engine = await engine.restart()
  await expect.poll(() => made[0]?.environment.accepted.length, { timeout: 20_000 }).toBe(1)
  expect(made[0]?.options).toEqual({ host: 'hub.example', password })
  await engine.executions.cancel(id)
})

test('an environment that a start is about to use cannot be removed under it', async () => {
  await environments().add(hub)
  let removal: Promise<unknown> | undefined
  whileMaking = () => {
    removal ??= environments()
      .remove('hub')
      .catch((error: unknown) => error)
  }
  const id = await engine.start(onHub)
  expect(await removal).toMatchObject({ code: 'environment-conflict' })
  await expect.poll(async () => (await tell())?.jobs.running, { timeout: 20_000 }).toBe(1)
  await engine.executions.cancel(id)
})

test('a check tells what was found, and the list remembers it', async () => {
  await environments().add(hub)
  expect(await environments().check('hub', signal)).toEqual([
    { what: 'environment', isGood: true, message: 'It answers.' },
  ])
  expect(await tell()).toMatchObject({ health: { state: 'good', checkedAt: expect.any(Number) } })
  const [one] = made
  if (one !== undefined) one.environment.outage = new EnvironmentError(`no way in with ${password}`)
  expect(await environments().check('hub', signal)).toEqual([
    { what: 'environment', isGood: false, message: 'no way in with [secret]' },
  ])
  expect(await tell()).toMatchObject({
    health: { state: 'bad', message: 'environment: no way in with [secret]' },
  })
  await expect(environments().check('none', signal)).rejects.toMatchObject({
    code: 'environment-unknown',
    hint: 'There are: hub.',
  })
})

test.each([
  ['There is no environment of the kind "moon".', { kind: 'moon' }],
  ['The option host of the environment remote', { options: {} }],
  ['"hosst"', { options: { host: 'a', hosst: 'b' } }],
  ['The option password is secret.', { options: { host: 'a', password } }],
  ['host is no secret option of remote.', { secrets: { host: 'a' } }],
  ['No environment can be named local', { name: 'local' }],
  ['Expected options of at most', { options: { host: 'a'.repeat(70_000) } }],
])('what is wrong is refused, and nothing is kept: %s', async (message, change) => {
  const error: unknown = await environments()
    .add({ ...hub, ...change })
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'parameter-invalid', message: expect.stringContaining(message) })
  expect(String(error)).not.toContain(password)
  expect(await tell()).toBeUndefined()
})

test('two of one name are refused unless the second is to replace the first', async () => {
  await environments().add(hub)
  const other = { ...hub, options: { host: 'other' } }
  await expect(environments().add(other)).rejects.toMatchObject({ code: 'environment-conflict' })
  await environments().add({ ...other, isReplacing: true })
  expect(await tell()).toMatchObject({ options: { host: 'other' } })
})

test('an environment that a script describes is listed while it is there', async () => {
  await environments().add(hub)
  await engine.run({
    'workflow.ts': `
import { commandTask, local } from 'molehill'
export default commandTask('walk', { command: ['true'] }).on(local({ name: 'here', slots: 1 }))
`,
  })
  expect(await tell('here')).toMatchObject({
    kind: 'local',
    isNamed: false,
    options: { slots: 1 },
    jobs: { done: 1, failed: 0 },
  })
})
