import { Problem } from '../problem.ts'
import type { Preferences } from './preferences.ts'
import type { Secrets } from './secrets.ts'

/** An environment that scripts name instead of describing it. */
export interface NamedEnvironment {
  readonly name: string
  readonly kind: string
  /** As they were given, without the secret ones. */
  readonly options: Readonly<Record<string, unknown>>
  /** Names of the options that are kept encrypted. */
  readonly secrets: readonly string[]
}

/** The named environments of a data directory. Whether their options fit their kind is for others to know. */
export interface NamedEnvironments {
  /** By name. */
  list(): readonly NamedEnvironment[]
  find(name: string): NamedEnvironment | undefined
  /** The texts of its secret options. Throws Problem as `Secrets.openSecret` does. */
  openSecrets(environment: NamedEnvironment): Promise<Readonly<Record<string, string>>>
  /**
   * Keeps an environment, or another one under its name. Resolves when it is on the disk. Throws Problem
   * parameter-invalid for a name that cannot be one, and what `Secrets.sealSecret` throws; then nothing has changed.
   */
  keep(
    environment: Omit<NamedEnvironment, 'secrets'>,
    secrets: Readonly<Record<string, string>>,
  ): Promise<void>
  /** Forgets an environment and its secrets. Silent when there is none. */
  remove(name: string): Promise<void>
}

/** `local` is what a script has without saying so; `named` is how a plan says that it means one of these. */
const reservedNames = new Set(['local', 'named'])

export function createNamedEnvironments(
  preferences: Preferences,
  secrets: Pick<Secrets, 'sealSecret' | 'openSecret' | 'removeSecrets'>,
): NamedEnvironments {
  const find = (name: string): NamedEnvironment | undefined => {
    const kept = preferences.current().environments ?? {}
    const found = Object.hasOwn(kept, name) ? kept[name] : undefined
    return found && { name, ...found }
  }
  return {
    find,
    list: () =>
      Object.entries(preferences.current().environments ?? {})
        .map(([name, kept]) => ({ name, ...kept }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    async openSecrets(environment) {
      const texts: [string, string][] = []
      for (const option of environment.secrets)
        texts.push([option, await secrets.openSecret(secretName(environment.name, option))])
      return Object.fromEntries(texts)
    },
    async keep({ name, kind, options }, texts) {
      checkName(name)
      const before = find(name)
      for (const [option, text] of Object.entries(texts))
        await secrets.sealSecret(secretName(name, option), text)
      await preferences.update((current) => ({
        ...current,
        environments: {
          ...current.environments,
          [name]: { kind, options: { ...options }, secrets: Object.keys(texts).sort() },
        },
      }))
      const old = (before?.secrets ?? []).filter((option) => !Object.hasOwn(texts, option))
      await secrets.removeSecrets(old.map((option) => secretName(name, option)))
    },
    async remove(name) {
      const before = find(name)
      if (before === undefined) return
      await preferences.update(({ environments, ...current }) => ({
        ...current,
        environments: Object.fromEntries(
          Object.entries(environments ?? {}).filter(([each]) => each !== name),
        ),
      }))
      await secrets.removeSecrets(before.secrets.map((option) => secretName(name, option)))
    },
  }
}

function secretName(environment: string, option: string): string {
  return `environment ${environment} ${option}`
}

function checkName(name: string): void {
  if (!/^[A-Za-z][\w.-]{0,63}$/.test(name))
    throw new Problem(
      'parameter-invalid',
      `Expected a name of a letter, then at most 63 letters, digits, dots, hyphens and underscores; got ${JSON.stringify(name.slice(0, 100))}.`,
    )
  if (reservedNames.has(name))
    throw new Problem('parameter-invalid', `No environment can be named ${name}: the word has a meaning.`)
}
