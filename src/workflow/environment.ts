/**
 * What `.on(...)` takes: which kind of environment, with which options. Plain data, so that a plan can hold it. The kind
 * `named` means the environment that the server knows by `name`.
 */
export interface EnvironmentReference {
  readonly kind: string
  readonly name?: string
  readonly options: Readonly<Record<string, unknown>>
}

/** The environment that a name in a script means. `local` is this machine; the server knows the others. */
export function named(name: string): EnvironmentReference {
  return name === 'local' ? { kind: 'local', options: {} } : { kind: namedKind, name, options: {} }
}

export const namedKind = 'named'
