import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

const root = join(import.meta.dirname, '..')

/**
 * The oldest version of each package that has no known weakness which matters here, wherever in the tree it is. A
 * package that is not in the lock file passes: its line waits for the day when it is.
 */
const minimums: Readonly<Record<string, string>> = {
  // CVE-2025-55130, CVE-2026-21636, -21637, -21714, -21715, -21717.
  node: '24.21.0',
  // Twelve fixes from CVE-2026-23745 (7.5.3) to aborts and recursion (7.5.21).
  tar: '7.5.23',
  // CVE-2026-22817, -22818, -29045, -47673 to -47676, -54286 to -54290, -59895 to -59897, -84363 to -84365.
  hono: '4.13.7',
  // CVE-2026-29087: encoded slashes.
  '@hono/node-server': '1.19.10',
  // CVE-2024-28176, GHSA-jv3g-j58f-9mq9; 6 has no compressed tokens.
  jose: '6.0.0',
  // A failed assertion in 4.9 to 5.0.0.
  piscina: '5.1.0',
  // CVE-2023-48795 (Terrapin), CVE-2020-26301.
  ssh2: '1.15.0',
  // Through what it needs: CVE-2024-21534, CVE-2023-28155, -26136.
  '@kubernetes/client-node': '1.0.0',
  // CVE-2024-37890: many headers at once.
  ws: '8.17.1',
  // CVE-2025-64718: prototypes through merge keys.
  'js-yaml': '4.1.1',
  // CVE-2026-25896, -26278, -33036, -33349.
  'fast-xml-parser': '5.5.7',
  // CVE-2022-24434. `@fastify/busboy` is the fork that is kept up.
  busboy: '1.0.0',
  // GHSA-864f-rcv7-6rh4, CVE-2022-39266.
  'isolated-vm': '7.0.1',
}

/** Bree brings 27 of them, selfsigned 23, pino-pretty 15. More is a reason to think again. */
const mostInProduction = 115

/** Runtime of the server: npm has no other way to bring it. */
const mayRunScripts = new Set(['node'])

/** The registry that wrote the lock file knew these by name only: see docs/decisions/0008-toolchain.md. */
const lintForOtherPlatforms = /^node_modules\/(?:@oxlint\/binding|@oxlint-tsgolint\/)/

const packageSchema = z.looseObject({
  version: z.string(),
  integrity: z.string().optional(),
  resolved: z.string().optional(),
  dev: z.boolean().optional(),
  optional: z.boolean().optional(),
  hasInstallScript: z.boolean().optional(),
})
type LockedPackage = z.infer<typeof packageSchema>

interface Entry {
  /** `node_modules/tar` */
  readonly place: string
  readonly name: string
  readonly locked: LockedPackage
}

function readLock(text: string): readonly Entry[] {
  const { packages } = z
    .looseObject({ packages: z.record(z.string(), z.looseObject({})) })
    .parse(JSON.parse(text))
  return Object.entries(packages)
    .filter(([place]) => place !== '')
    .map(([place, locked]) => ({
      place,
      name: place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length),
      locked: packageSchema.parse(locked),
    }))
}

/** What is wrong with a lock file: one sentence each. */
function findFaults(entries: readonly Entry[]): readonly string[] {
  return entries.flatMap(({ place, name, locked }) => {
    const least = minimums[name]
    return [
      least !== undefined && isOlder(locked.version, least)
        ? `${place} is ${locked.version}, expected ${least} or newer.`
        : '',
      locked.hasInstallScript === true && locked.dev !== true && !mayRunScripts.has(name)
        ? `${place} runs a script when it is installed.`
        : '',
      locked.integrity === undefined && !lintForOtherPlatforms.test(place)
        ? `${place} has no integrity.`
        : '',
      locked.resolved === undefined ? '' : `${place} names the registry ${locked.resolved}.`,
    ].filter((fault) => fault !== '')
  })
}

function isOlder(version: string, least: string): boolean {
  const numbers = (text: string) => text.split('-', 1)[0]?.split('.').map(Number) ?? []
  const [ours, theirs] = [numbers(version), numbers(least)]
  const differing = theirs.findIndex((number, index) => (ours[index] ?? 0) !== number)
  if (differing >= 0) return (ours[differing] ?? 0) < (theirs[differing] ?? 0)
  // `7.5.23-beta` comes before `7.5.23`.
  return version.includes('-')
}

describe('the locked packages', async () => {
  const text = await readFile(join(root, 'package-lock.json'), 'utf8')
  const entries = readLock(text)
  const needed = entries.filter(({ locked }) => locked.dev !== true && locked.optional !== true)

  it('are new enough, whole, from no named registry, and run nothing when they are installed', () => {
    expect(findFaults(entries)).toEqual([])
    expect(entries.length).toBeGreaterThan(100)
  })

  it(`are at most ${mostInProduction} for production`, () => {
    expect(needed.length).toBeLessThanOrEqual(mostInProduction)
    expect(needed.map(({ name }) => name)).toEqual(expect.arrayContaining(['tar', 'hono', 'jose', 'zod']))
  })

  it('are not compiled on installation', () => {
    const builders =
      /^(?:node-gyp|node-gyp-build|prebuild-install|node-pre-gyp|nan|node-addon-api|cpu-features)$/
    expect(needed.filter(({ name }) => builders.test(name.replace(/^@[^/]+\//, '')))).toEqual([])
  })

  it('would not pass with an old one, a changed one, or one that runs scripts', () => {
    const faults = (place: string, locked: LockedPackage) =>
      findFaults([{ place, name: place.replace(/.*node_modules\//, ''), locked }])
    const whole = { integrity: 'sha512-x' }
    expect(faults('node_modules/a/node_modules/tar', { version: '7.5.9', ...whole })).toEqual([
      'node_modules/a/node_modules/tar is 7.5.9, expected 7.5.23 or newer.',
    ])
    expect(faults('node_modules/tar', { version: '8.0.0', ...whole })).toEqual([])
    expect(faults('node_modules/tar', { version: '7.5.23-beta', ...whole })).toHaveLength(1)
    expect(faults('node_modules/hono', { version: '4.13.10', ...whole })).toEqual([])
    expect(faults('node_modules/left', { version: '1.0.0' })).toHaveLength(1)
    expect(faults('node_modules/left', { version: '1.0.0', ...whole, resolved: 'https://x/' })).toHaveLength(
      1,
    )
    expect(faults('node_modules/left', { version: '1.0.0', ...whole, hasInstallScript: true })).toHaveLength(
      1,
    )
  })

  it('have exact versions in package.json', async () => {
    const { dependencies, devDependencies } = z
      .looseObject({
        dependencies: z.record(z.string(), z.string()),
        devDependencies: z.record(z.string(), z.string()),
      })
      .parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')))
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
    )
    expect(loose).toEqual([])
  })
})

describe('scripts/audit', () => {
  /** Runs it with an npm that answers with `answer`. */
  async function audit(answer: unknown): Promise<{ isFine: boolean; told: string }> {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-audit-'))
    try {
      const answerFile = join(directory, 'answer.json')
      await writeFile(answerFile, JSON.stringify(answer))
      await writeFile(join(directory, 'npm'), `#!/bin/sh\ncat '${answerFile}'\nexit 1\n`, { mode: 0o755 })
      return await new Promise((resolve) => {
        execFile(
          process.execPath,
          [join(root, 'scripts', 'audit')],
          { env: { PATH: `${directory}:/usr/bin:/bin` } },
          (error, stdout, stderr) => resolve({ isFine: error === null, told: stdout + stderr }),
        )
      })
    } finally {
      await rm(directory, { recursive: true })
    }
  }

  it('fails with what was found', async () => {
    const vulnerabilities = { tar: { name: 'tar', severity: 'high', range: '<7.5.19' } }
    expect(await audit({ auditReportVersion: 2, vulnerabilities })).toEqual({
      isFine: false,
      told: 'npm audit: tar <7.5.19: high\n',
    })
  })

  it('says that nothing was found, or that nobody could be asked', async () => {
    expect(await audit({ auditReportVersion: 2, vulnerabilities: {} })).toEqual({
      isFine: true,
      told: 'npm audit: asked; no finding in production packages\n',
    })
    expect(await audit({ message: '405 Method Not Allowed', error: { summary: '' } })).toMatchObject({
      isFine: true,
      told: expect.stringContaining('could not be asked (405 Method Not Allowed)'),
    })
  })
})
