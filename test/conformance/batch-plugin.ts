import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { BatchReferenceOptions } from '../../src/environment/batch/reference-options.ts'
import type { Capabilities } from '../../src/environment/environment.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** All that a script can say of any scheduler, but for pilots. */
const shared: Required<Omit<BatchReferenceOptions, 'pilots'>> = {
  name: 'cluster',
  host: 'login.example.org',
  user: 'ada',
  port: 2222,
  identityFile: '~/.ssh/id_ed25519',
  jump: 'gate',
  knownHostsFile: '/etc/known',
  acceptNew: true,
  connectTimeoutMs: 5000,
  keepAliveMs: 5000,
  loginProfile: false,
  workDirectory: '~/jobs',
  sharesFiles: true,
  time: '2 h',
  memory: '4 GB',
  cpus: 2,
  modules: ['gcc/12.2'],
  prologue: ['export X=1'],
  extraDirectives: [],
  maxArraySize: 50,
  maxQueued: 500,
  submissionsPerMinute: 10,
  stopGraceMs: 1000,
  lostAfter: '30 min',
  pollMs: { min: 500, max: 5000 },
}
const pilots = { count: 2, slots: 4, time: '1 h', idleMs: 30_000 }

/**
 * What the plugin and the word of every batch scheduler must agree on. `word` is the function of `language.ts`, or one
 * that calls it with what must be said besides. `without` are options that the scheduler has no use for, and that its
 * word leaves out: `maxArraySize` where it has no arrays, `extraDirectives` where it reads no directives.
 */
export function describeBatchPlugin(
  plugin: EnvironmentPlugin,
  word: (options: BatchReferenceOptions) => EnvironmentReference,
  without: readonly (keyof BatchReferenceOptions)[] = [],
): void {
  const referenceOf = (more: BatchReferenceOptions = {}): EnvironmentReference => {
    const given: { -readonly [Name in keyof BatchReferenceOptions]: BatchReferenceOptions[Name] } = {
      ...shared,
      ...more,
    }
    for (const name of without) delete given[name]
    return word(given)
  }
  const parsed = (given: Readonly<Record<string, unknown>>) =>
    plugin.options.safeParse({ ...referenceOf().options, ...given })
  const messagesOf = (given: Readonly<Record<string, unknown>>) =>
    parsed(given).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? []

  async function capabilitiesWith(given: Readonly<Record<string, unknown>>): Promise<Capabilities> {
    const directory = mkdtempSync(join(tmpdir(), 'molehill-test-plugin-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const options = plugin.options.parse({ ...referenceOf().options, ...given })
    const context = { directory, variables: {}, now: Date.now, warn: () => undefined }
    const environment = await plugin.create(plugin.kind, options, context)
    await environment.close()
    return environment.capabilities
  }

  describe(`the plugin ${plugin.kind}`, () => {
    test.each([{}, { pilots }])('takes all that a script can say of any scheduler: %j', (more) => {
      const reference = referenceOf(more)
      expect(reference).toMatchObject({ kind: plugin.kind, name: 'cluster' })
      expect(messagesOf(reference.options)).toEqual([])
    })

    test('refuses what would do nothing: a user without a host, nodes of pilots', () => {
      expect(messagesOf({ host: undefined })).toContain('user: needs the option host beside it')
      expect(parsed({ pilots, nodes: 2 }).success).toBe(false)
    })

    test('keeps passwords secret, and takes no configuration of ssh from scripts: it may name programs', () => {
      expect(plugin.secrets).toEqual(expect.arrayContaining(['password', 'passphrase']))
      expect(plugin.operatorOnly).toContain('configFile')
    })

    test('takes defaults only of what it manages', async () => {
      const { resources } = await capabilitiesWith({})
      const managed = { cpus: 'cpus', memory: 'memoryBytes', gpus: 'gpus', nodes: 'nodes' } as const
      for (const [option, resource] of Object.entries(managed))
        if (!resources.includes(resource))
          expect(parsed({ [option]: 1 }).error?.issues, `the option ${option}`).toMatchObject([
            { code: 'unrecognized_keys', keys: [option] },
          ])
    })

    test.each([{}, { pilots }])(
      'gives up jobs of a host that stays away as its options say: %j',
      async (more) => {
        const outageOf = async (lostAfter: unknown) =>
          (await capabilitiesWith({ ...more, lostAfter })).lostAfterOutageMs
        expect(await outageOf('30 min')).toBe(1_800_000)
        expect(await outageOf(5000)).toBe(5000)
        expect(await outageOf(undefined)).toBeUndefined()
      },
    )
  })
}
