import type { DatabaseSync } from 'node:sqlite'

/** So many are kept. */
const keptRefusals = 10_000
const nameCharacters = 255

/** Results that did not count, for operators: late, doubled, unknown, or another's. */
export function openRefusals(database: DatabaseSync) {
  const add = database.prepare('INSERT INTO refusals (at, host, name, reason) VALUES (?, ?, ?, ?)')
  const last = database.prepare('SELECT max(id) AS last FROM refusals')
  const trim = database.prepare('DELETE FROM refusals WHERE id <= ?')

  return {
    /** How many there were, those included that were dropped. */
    count(): number {
      return Number(last.get()?.['last'] ?? 0)
    },

    add(at: number, host: number, name: string, reason: string): void {
      const { lastInsertRowid } = add.run(at, host, name.slice(0, nameCharacters), reason)
      if (Number(lastInsertRowid) % 100 === 0) trim.run(Number(lastInsertRowid) - keptRefusals)
    },
  }
}

export type Refusals = ReturnType<typeof openRefusals>
