import type { DatabaseSync } from 'node:sqlite'
import { openFiling, type Filing } from './filing.ts'
import { openHostTable, type HostTable } from './host-table.ts'
import { openRefusals, type Refusals } from './refusal-table.ts'
import { openWorkQueue, type WorkQueue } from './work-queue.ts'
import { openWorkTable, type WorkTable } from './work-table.ts'

/** All that the project keeps. */
export interface ProjectTables {
  readonly hosts: HostTable
  readonly work: WorkTable
  readonly queue: WorkQueue
  readonly filing: Filing
  readonly refusals: Refusals
}

/** @param changed hears the names of workunits whose progress changed */
export function openProjectTables(database: DatabaseSync, changed: (name: string) => void): ProjectTables {
  const filing = openFiling(database)
  return {
    filing,
    hosts: openHostTable(database),
    work: openWorkTable(database, changed),
    queue: openWorkQueue(database, filing),
    refusals: openRefusals(database),
  }
}
