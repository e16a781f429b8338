/** What `.on(...)` takes: which kind of environment, with which options. Plain data, so that a plan can hold it. */
export interface EnvironmentReference {
  readonly kind: string
  readonly name?: string
  readonly options: Readonly<Record<string, unknown>>
}
