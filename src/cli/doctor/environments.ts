import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EnvironmentRegistry, loadPlugins } from '../../environment/registry.ts'
import type { EnvironmentPlugin } from '../../environment/plugin.ts'
import { removeTree } from '../../files/remove-tree.ts'
import { toProblem } from '../../problem.ts'
import type { Check } from './findings.ts'

/** One check for each kind of environment: those that need options can only be tried with a script's. */
export async function environmentChecks(
  variables: Readonly<Record<string, string | undefined>>,
  now: () => number,
): Promise<readonly Check[]> {
  const plugins = await loadPlugins(new URL('../../../environments/', import.meta.url))
  return [...plugins.keys()].map((kind) => ({
    name: `environment ${kind}`,
    run: (signal) => checkEnvironment(kind, { plugins, variables, now }, signal),
  }))
}

interface Surroundings {
  readonly plugins: ReadonlyMap<string, EnvironmentPlugin>
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly now: () => number
}

async function checkEnvironment(
  kind: string,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-doctor-'))
  const warnings: string[] = []
  const registry = new EnvironmentRegistry({
    ...surroundings,
    directory,
    warn: (message) => warnings.push(message),
  })
  try {
    const reference = { kind, options: {} }
    try {
      registry.validate(reference)
    } catch (error) {
      return `is there; only a script can try it: ${toProblem(error).message}`
    }
    await (await registry.get(reference)).check(signal)
    return ['answers', ...warnings].join('; ')
  } finally {
    await registry.closeAll()
    await removeTree(directory)
  }
}
