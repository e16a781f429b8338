import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EnvironmentPlugin } from '../src/environment/plugin.ts'
import { plugin as kubernetes } from './kubernetes/index.ts'
import { plugin as slurm } from './slurm/index.ts'
import { plugin as ssh } from './ssh/index.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-test-lost-after-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

async function lostAfterOutageMs(
  plugin: EnvironmentPlugin,
  options: Readonly<Record<string, unknown>>,
): Promise<number | undefined> {
  const parsed = plugin.options.parse(options)
  const context = { directory, variables: process.env, now: Date.now, warn: () => undefined }
  const environment = await plugin.create(plugin.kind, parsed, context)
  try {
    return environment.capabilities.lostAfterOutageMs
  } finally {
    await environment.close()
  }
}

const host = { host: 'login.example.org' }

test.each<[string, EnvironmentPlugin, Readonly<Record<string, unknown>>]>([
  ['ssh', ssh, host],
  [
    'slurm through slurmrestd',
    slurm,
    { ...host, rest: { socket: '/run/slurmrestd', apiVersion: 'v0.0.40' } },
  ],
  ['kubernetes', kubernetes, { image: 'python:3.13-slim' }],
])('%s gives up jobs of a host that stays away for so long, and without a word never', async (...given) => {
  const [, plugin, options] = given
  expect(await lostAfterOutageMs(plugin, { ...options, lostAfter: '30 min' })).toBe(1_800_000)
  expect(await lostAfterOutageMs(plugin, { ...options, lostAfter: 5000 })).toBe(5000)
  expect(await lostAfterOutageMs(plugin, options)).toBeUndefined()
  const { error } = plugin.options.safeParse({ ...options, lostAfter: 30 })
  expect(error?.message).toContain('a number without a unit is milliseconds')
})
