import type { Problem } from '../problem.ts'
import type { Evaluation } from '../script/contract.ts'
import type { PlanDescription } from '../workflow/plan.ts'

/**
 * The workflows that a client may start by name: those that come with Molehill, and those that were installed. Each is
 * a folder whose script describes itself (`workflow.describe(...)`). To start one, give the engine its `script`, its
 * `name`, a `fill` that calls `catalog.fill` and answers with its answer, and the inputs: the engine checks them against the description.
 */
export interface Catalog {
  /** All of them by name. One that cannot be read is listed with what is wrong with it. */
  list(): Promise<readonly CatalogEntry[]>
  /** Throws Problem workflow-unknown; or, of one that is broken, what is wrong with it. */
  find(name: string): Promise<CatalogWorkflow>
  /**
   * Copies the files of one to where a work directory is to be: a path that is not there yet, or an empty directory.
   * They outlive a power cut. What becomes of the entry later does not touch them. Answers with what the script of these
   * files says, where that is remembered. Throws Problem workflow-unknown.
   */
  fill(name: string, workDirectory: string): Promise<Evaluation | undefined>
  /**
   * Installs one. `place` puts its files at a path that is not there yet, on the file system of the catalog. Either
   * all of it is there when this returns, or nothing. Throws Problem parameter-invalid for a name that cannot be one,
   * workflow-conflict for one that is taken, script-missing, script-invalid, and workflow-invalid, also where the
   * script does not describe itself.
   */
  add(
    name: string,
    place: (directory: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<CatalogWorkflow>
  /** Removes an installed one. Throws Problem workflow-unknown, and workflow-conflict for one that came with Molehill. */
  remove(name: string): Promise<void>
  /** Ends what is being read. */
  close(): Promise<void>
}

export type CatalogEntry = CatalogWorkflow | BrokenEntry

interface Entry {
  readonly name: string
  /** Whether it came with Molehill or was installed. */
  readonly origin: 'shipped' | 'installed'
}

export interface CatalogWorkflow extends Entry {
  readonly kind: 'workflow'
  /** Path of the script in the folder, and so in the work directory. */
  readonly script: string
  readonly description: PlanDescription
}

export interface BrokenEntry extends Entry {
  readonly kind: 'broken'
  readonly problem: Problem
}
