import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { FakeEnvironment } from './fake.ts'
import type { EnvironmentPlugin, PluginContext } from './plugin.ts'
import { EnvironmentRegistry, loadPlugins, type Definition } from './registry.ts'

let directory: string
let contexts: PluginContext[]
let closed: string[]
let warnings: string[]
let definitions: Definition[]
let registry: EnvironmentRegistry
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-registry-'))
  contexts = []
  closed = []
  warnings = []
  created = []
  definitions = []
  registry = new EnvironmentRegistry({
    plugins: new Map([['fake', fake]]),
    defaults: { fake: { slots: 7 } },
    named: {
      list: () => definitions,
      find: (name) => definitions.find((each) => each.name === name),
      openSecrets: async ({ secrets }) => Object.fromEntries(secrets.map((each) => [each, 'open sesame'])),
    },
    directory,
    variables: {},
    now: Date.now,
    warn: (message) => warnings.push(message),
  })
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const options = z.strictObject({
  slots: z.int(),
  broken: z.boolean().default(false),
  password: z.string().min(8).optional(),
  runsPrograms: z.boolean().optional(),
})
let created: z.output<typeof options>[]
const fake: EnvironmentPlugin<z.output<typeof options>> = {
  kind: 'fake',
  options,
  secrets: ['password'],
  operatorOnly: ['runsPrograms'],
  async create(name, options, context) {
    contexts.push(context)
    created.push(options)
    const { broken, password } = options
    if (password !== undefined) context.warn(`logging in with ${password}`)
    if (broken) throw new Error(`cannot be made with ${password}`)
    const environment = new FakeEnvironment(undefined, { name })
    environment.close = async () => {
      closed.push(name)
      if (name === 'stubborn') throw new Error('will not')
    }
    return environment
  },
}

test('the plugins beside the sources are found', async () => {
  const plugins = await loadPlugins(new URL('../../environments/', import.meta.url))
  expect([...plugins.keys()]).toContain('local')
  expect(plugins.get('local')).toMatchObject({ kind: 'local' })
})

test('a built plugin is found too, and a folder that exports none is told', async () => {
  mkdirSync(join(directory, 'built'))
  writeFileSync(
    join(directory, 'built/index.js'),
    "export const plugin = { kind: 'built', options: {}, create() {} }",
  )
  mkdirSync(join(directory, 'notes'))
  const url = pathToFileURL(`${directory}/`)
  expect([...(await loadPlugins(url)).keys()]).toEqual(['built'])
  mkdirSync(join(directory, 'wrong'))
  writeFileSync(
    join(directory, 'wrong/index.js'),
    "export const plugin = { kind: 'other', options: {}, create() {} }",
  )
  await expect(loadPlugins(url)).rejects.toThrow('must export a plugin of the kind wrong')
})

test('the same kind and options give the same environment, in whatever order they are written', async () => {
  const [one, two, three] = await Promise.all([
    registry.get({ kind: 'fake', options: {} }),
    registry.get({ kind: 'fake', name: 'later', options: { broken: false, slots: 7 } }),
    registry.get({ kind: 'fake', options: { slots: 3 } }),
  ])
  expect(two).toBe(one)
  expect([one.name, three.name]).toEqual(['fake', 'fake-2'])
  expect(new Set(contexts.map((context) => context.directory)).size).toBe(2)
  expect(await registry.all()).toMatchObject([
    { environment: one, kind: 'fake', definition: undefined, options: {} },
    { environment: three, kind: 'fake', definition: undefined, options: { slots: 3 } },
  ])
})

test.each([
  [{ kind: 'moon', options: {} }, 'no environment of the kind "moon"'],
  [{ kind: 'fake', options: { slots: 'many' } }, 'The option slots of the environment fake'],
  [{ kind: 'fake', options: { slot: 1 } }, '"slot"'],
])('%j is refused with the option named', async (reference, message) => {
  await expect(registry.get(reference)).rejects.toMatchObject({
    code: 'workflow-invalid',
    message: expect.stringContaining(message),
  })
  expect(() => registry.validate(reference)).toThrow(message)
})

test('an environment that could not be made is tried again by the next one who asks', async () => {
  const reference = { kind: 'fake', options: { broken: true } }
  await expect(registry.get(reference)).rejects.toThrow('cannot be made')
  await expect(registry.get(reference)).rejects.toThrow('cannot be made')
  expect(contexts).toHaveLength(2)
})

test('closing closes all, also when one will not, and makes none afterwards', async () => {
  await registry.get({ kind: 'fake', name: 'stubborn', options: {} })
  await registry.get({ kind: 'fake', name: 'willing', options: { slots: 5 } })
  await registry.closeAll()
  expect(closed.sort()).toEqual(['stubborn', 'willing'])
  expect(warnings.join()).toContain('stubborn could not be closed')
  await expect(registry.get({ kind: 'fake', options: {} })).rejects.toMatchObject({ code: 'server-busy' })
})

const hub = { name: 'hub', kind: 'fake', options: { slots: 3 }, secrets: ['password'] }
const onHub = { kind: 'named', name: 'hub', options: {} }

test('a named environment is made once, with its secrets, and shows none of them', async () => {
  definitions = [hub]
  registry.validate(onHub)
  expect(created).toEqual([])
  const [one, two] = await Promise.all([registry.get(onHub), registry.get(onHub)])
  expect(two).toBe(one)
  expect(one.name).toBe('hub')
  expect(created).toEqual([{ slots: 3, broken: false, password: 'open sesame' }])
  expect(await registry.all()).toMatchObject([{ kind: 'fake', definition: 'hub', options: { slots: 3 } }])
  expect(warnings).toEqual(['hub: logging in with [secret]'])
  expect(JSON.stringify(contexts)).not.toContain('sesame')
  expect(await registry.get({ kind: 'fake', options: { slots: 3 } })).not.toBe(one)
})

test('a name that nobody has given is refused with the names that there are', async () => {
  definitions = [hub, { ...hub, name: 'cluster' }]
  const unknown = { kind: 'named', name: 'clutser', options: {} }
  expect(() => registry.validate(unknown)).toThrow('There is no environment named "clutser".')
  await expect(registry.get(unknown)).rejects.toMatchObject({
    code: 'workflow-invalid',
    hint: 'Named environments of this server: hub, cluster.',
  })
})

test('no script may hold a secret, and the refusal does not tell it', () => {
  const reference = { kind: 'fake', options: { password: 'open sesame' } }
  expect(() => registry.validate(reference)).toThrow('The option password of the environment fake is secret')
  expect(() => registry.validate(reference)).not.toThrow('sesame')
})

test('no script may say what is for operators, but a named environment may hold it', async () => {
  const options = { slots: 1, runsPrograms: true }
  expect(() => registry.validate({ kind: 'fake', options })).toThrow(
    'The option runsPrograms of the environment fake is for operators and cannot be part of a script.',
  )
  definitions = [{ name: 'hub', kind: 'fake', options, secrets: [] }]
  registry.validate(onHub)
  await registry.get(onHub)
  expect(created).toEqual([{ ...options, broken: false }])
})

test('a forgotten one is closed, and made anew from what its name means then', async () => {
  definitions = [hub]
  const before = await registry.get(onHub)
  definitions = [{ ...hub, options: { slots: 4 }, secrets: [] }]
  expect(await registry.get(onHub)).toBe(before)
  await registry.forget('hub')
  await registry.forget('hub')
  expect(closed).toEqual(['hub'])
  expect((await registry.get(onHub)).name).toBe('hub')
  expect(created.at(-1)).toEqual({ slots: 4, broken: false })
  expect(new Set(contexts.map((context) => context.directory)).size).toBe(1)
})

test('what fails because of a secret does not tell it', async () => {
  definitions = [{ ...hub, options: { broken: true } }]
  const error: unknown = await registry.get(onHub).catch((error: unknown) => error)
  expect(error).toMatchObject({ message: 'cannot be made with [secret]' })
  expect(error instanceof Error && error.stack).not.toContain('sesame')
})
