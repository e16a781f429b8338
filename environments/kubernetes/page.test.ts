import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kubernetesOptions } from './options.ts'
import { rbacManifest } from './cluster/rights.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/operations/kubernetes.md'), 'utf8')

test('the page for operators shows the manifest that check asks for', () => {
  const [, shown] = /```yaml\n([^]*?)```/.exec(page.slice(page.indexOf('## Rights'))) ?? []
  expect(shown).toBe(rbacManifest({ namespace: 'molehill', account: 'molehill' }))
})

test('the page for operators tells every option', () => {
  const table = page.slice(page.indexOf('## Options'), page.indexOf('## Rights'))
  const named = new Set([...table.matchAll(/`(\w+)`/g)].map(([, name]) => name))
  expect(Object.keys(kubernetesOptions.shape).filter((option) => !named.has(option))).toEqual([])
})
