import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadPlugins } from '../src/environment/registry.ts'

const root = join(import.meta.dirname, '..')
const plugins = await loadPlugins(new URL('./', import.meta.url))

test('every folder is a plugin with a word for scripts, which is listed', () => {
  const folders = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  expect([...plugins.keys()]).toEqual(folders.map(({ name }) => name).sort())
  const wordless = folders.filter(({ name }) => !existsSync(join(import.meta.dirname, name, 'language.ts')))
  expect(wordless.map(({ name }) => name)).toEqual([])
  const { stderr, status } = spawnSync(
    process.execPath,
    [join(root, 'scripts/list-environments'), '--check'],
    {
      encoding: 'utf8',
    },
  )
  expect([stderr, status]).toEqual(['', 0])
})

test.each([...plugins.values()])(
  '$kind takes a configuration of ssh, which may name programs, from operators only',
  (plugin) => {
    const { error } = plugin.options.safeParse({ configFile: '/a/file' })
    const isTaken = error?.issues.every(
      (issue) => issue.code !== 'unrecognized_keys' || !issue.keys.includes('configFile'),
    )
    const isForOperators = plugin.operatorOnly?.includes('configFile') === true
    expect(isForOperators).toBe(isTaken !== false)
  },
)
