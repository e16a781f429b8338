import type { Database } from '../store/database.ts'
import type { Write } from '../store/journal-schema.ts'
import type { EnvironmentFault } from './contract.ts'

const keptPerEnvironment = 200
const messageCharacters = 4000

/** The errors of an execution's environments, the latest of each. */
export class FaultLog {
  readonly #faults: EnvironmentFault[][]
  #sequence = 0

  constructor(environments: number, journal: Database) {
    this.#faults = Array.from({ length: environments }, () => [])
    for (const row of journal.reader.prepare('SELECT * FROM faults ORDER BY sequence').all()) {
      this.#sequence = Number(row['sequence'])
      this.#keep(Number(row['environment']), {
        sequence: this.#sequence,
        level: row['level'] as EnvironmentFault['level'],
        message: String(row['message']),
        stackTrace: String(row['stack']),
        time: Number(row['time']),
      })
    }
  }

  add(environment: number, fault: Omit<EnvironmentFault, 'sequence'>): Write[] {
    this.#sequence += 1
    const kept: EnvironmentFault = {
      ...fault,
      sequence: this.#sequence,
      message: fault.message.slice(0, messageCharacters),
      stackTrace: fault.stackTrace.slice(0, messageCharacters),
    }
    this.#keep(environment, kept)
    const { sequence, level, message, stackTrace, time } = kept
    const writes: Write[] = [['putFault', sequence, environment, level, message, stackTrace, time]]
    // A job that fails for ever must not fill the disk.
    const oldest = this.#faults.flat().reduce((least, each) => Math.min(least, each.sequence), sequence)
    if (sequence % keptPerEnvironment === 0) writes.push(['trimFaults', oldest - 1])
    return writes
  }

  of(environment: number): readonly EnvironmentFault[] {
    return this.#faults[environment] ?? []
  }

  #keep(environment: number, fault: EnvironmentFault): void {
    const list = this.#faults[environment]
    if (list === undefined) return
    list.push(fault)
    if (list.length > keptPerEnvironment) list.shift()
  }
}
