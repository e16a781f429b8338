import type { Runtime } from '../script/runtime.ts'
import type { DatabaseWriter } from '../store/database.ts'
import type { ExecutionIndex } from './execution-index.ts'
import type { EngineSettings } from './settings.ts'
import type { Trackers } from './trackers.ts'

/** What all executions of a data directory share. */
export interface EngineParts {
  readonly settings: EngineSettings
  /** Holds a directory for each execution. */
  readonly directory: string
  readonly trackers: Trackers
  readonly runtime: Runtime
  readonly writer: DatabaseWriter
  readonly index: ExecutionIndex
}
