/** What the engine must be told. Sizes in bytes, times in milliseconds. */
export interface EngineSettings {
  /** Holds `molehill.db` and `executions/`. */
  readonly dataDirectory: string
  /** Function calls and local commands at once. */
  readonly slots: number
  readonly scriptTimeMs: number
  readonly scriptMemoryBytes: number
  /** How much of an execution's output is kept. */
  readonly outputBytes: number
  /** The server's environment variables, of which scripts and jobs get a stated few. */
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly now: () => number
  /** For the log: something to know of, with what it concerns. */
  readonly warn: (message: string, about: Readonly<Record<string, unknown>>) => void
}
