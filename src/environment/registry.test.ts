import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { FakeEnvironment } from './fake.ts'
import type { EnvironmentPlugin, PluginContext } from './plugin.ts'
import { EnvironmentRegistry, loadPlugins } from './registry.ts'

let directory: string
let contexts: PluginContext[]
let closed: string[]
let warnings: string[]
let registry: EnvironmentRegistry
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-registry-'))
  contexts = []
  closed = []
  warnings = []
  registry = new EnvironmentRegistry({
    plugins: new Map([['fake', fake]]),
    directory,
    variables: {},
    now: Date.now,
    warn: (message) => warnings.push(message),
  })
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const options = z.strictObject({ slots: z.int().default(2), broken: z.boolean().default(false) })
const fake: EnvironmentPlugin<z.output<typeof options>> = {
  kind: 'fake',
  options,
  async create(name, { broken }, context) {
    contexts.push(context)
    if (broken) throw new Error('cannot be made')
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
    registry.get({ kind: 'fake', name: 'later', options: { broken: false, slots: 2 } }),
    registry.get({ kind: 'fake', options: { slots: 3 } }),
  ])
  expect(two).toBe(one)
  expect([one.name, three.name]).toEqual(['fake', 'fake-2'])
  expect(new Set(contexts.map((context) => context.directory)).size).toBe(2)
  expect(await registry.all()).toEqual([one, three])
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
