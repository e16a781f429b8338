import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readPasswordFile } from '../../api/access/password-file.ts'
import type { Configuration } from '../../config/options.ts'
import type { CheckFinding } from '../../environment/environment.ts'
import { EnvironmentRegistry, loadPlugins } from '../../environment/registry.ts'
import type { EnvironmentPlugin } from '../../environment/plugin.ts'
import { writeFileDurably } from '../../files/durable-file.ts'
import { removeTree } from '../../files/remove-tree.ts'
import { Problem, toProblem } from '../../problem.ts'
import { createNamedEnvironments, type NamedEnvironments } from '../../store/named-environments.ts'
import { openPreferences, secretsIn } from '../../store/preferences.ts'
import { createSecrets } from '../../store/secrets.ts'
import { namedKind, type EnvironmentReference } from '../../workflow/environment.ts'
import type { Check } from './findings.ts'

/** What every server needs: jobs run here unless a script says otherwise. */
const hereKind = 'local'

/**
 * One check for each kind of environment, those that need options can only be tried with some; and one for each named
 * one. The secrets of those are opened where the server's password file is named.
 */
export async function environmentChecks(
  configuration: Configuration,
  variables: Readonly<Record<string, string | undefined>>,
  now: () => number,
): Promise<readonly Check[]> {
  const plugins = await loadPlugins(new URL('../../../environments/', import.meta.url))
  const named = await openNamed(configuration)
  const surroundings = { plugins, named, variables, now }
  return [
    ...[...plugins.keys()].map((kind): Check => {
      const run: Check['run'] = (signal) => checkKind({ kind, options: {} }, surroundings, signal)
      return { name: `environment ${kind}`, run }
    }),
    ...(named?.list() ?? []).map(({ name, kind, secrets }): Check => {
      const reference = { kind: namedKind, name, options: {} }
      return {
        name: `environment ${name}`,
        async run(signal) {
          if (secrets.length > 0 && configuration.passwordFile === undefined)
            return `is kept as ${kind}; with --password-file its secrets can be opened, and it is tried`
          return checkEnvironment(reference, surroundings, signal)
        },
      }
    }),
  ]
}

interface Surroundings {
  readonly plugins: ReadonlyMap<string, EnvironmentPlugin>
  readonly named: NamedEnvironments | undefined
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly now: () => number
}

/** What cannot be read is told by the check of the preferences. */
async function openNamed({
  dataDirectory,
  passwordFile,
}: Configuration): Promise<NamedEnvironments | undefined> {
  const path = join(dataDirectory, 'preferences.json')
  if (!existsSync(path)) return undefined
  try {
    const preferences = await openPreferences(path, writeFileDurably)
    const password = passwordFile === undefined ? undefined : await readPasswordFile(passwordFile)
    return createNamedEnvironments(preferences, createSecrets(secretsIn(preferences), password))
  } catch {
    return undefined
  }
}

async function checkKind(
  reference: EnvironmentReference,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<string> {
  try {
    new EnvironmentRegistry({ ...withoutNamed(surroundings), directory: '', warn: () => undefined }).validate(
      reference,
    )
  } catch (error) {
    return `is there; only a script or a name can try it: ${toProblem(error).message}`
  }
  if (reference.kind === hereKind) return checkEnvironment(reference, surroundings, signal)
  // A computer need not have every scheduler that there is.
  return checkEnvironment(reference, surroundings, signal).catch(
    (error: unknown) => `is there; this computer cannot use it: ${toProblem(error).message}`,
  )
}

async function checkEnvironment(
  reference: EnvironmentReference,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-doctor-'))
  const warnings: string[] = []
  const { named } = surroundings
  const registry = new EnvironmentRegistry({
    ...withoutNamed(surroundings),
    ...(named !== undefined && { named }),
    directory,
    warn: (message) => warnings.push(message),
  })
  try {
    const environment = await registry.get(reference)
    if (environment.inspect !== undefined) return describe(await environment.inspect(signal))
    await environment.check(signal)
    return ['answers', ...warnings].join('; ')
  } finally {
    await registry.closeAll()
    await removeTree(directory)
  }
}

function withoutNamed({ plugins, variables, now }: Surroundings): Omit<Surroundings, 'named'> {
  return { plugins, variables, now }
}

/** Throws what is wrong, with what to do about it. */
function describe(findings: readonly CheckFinding[]): string {
  const bad = findings.filter(({ isGood }) => !isGood)
  if (bad.length === 0) return findings.map(({ what }) => what).join(', ')
  const hint = bad.flatMap(({ fix }) => fix ?? []).join(' ')
  throw new Problem(
    'configuration-invalid',
    bad.map(({ what, message }) => `${what}: ${message}`).join(' '),
    hint === '' ? {} : { hint },
  )
}
