import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { local } from './language.ts'

test('language.ts names every folder that has words for scripts', () => {
  const script = fileURLToPath(new URL('../scripts/list-environments', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})

test('local() gives a reference as plain data', () => {
  expect(local()).toEqual({ kind: 'local', options: {} })
  expect(local({ name: 'desk', slots: 2 })).toEqual({ kind: 'local', name: 'desk', options: { slots: 2 } })
})
