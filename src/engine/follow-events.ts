import { DatabaseSync } from 'node:sqlite'
import { readerTimeoutMs } from '../store/database.ts'
import type { ExecutionEvent } from './contract.ts'

const pageSize = 500

/**
 * The committed events of a journal after `after`, oldest first, as they come. Ends when the execution is over and
 * all of them have been given.
 * @param news resolves when there may be more events, or when the execution is over
 */
export async function* followEvents(
  path: string,
  after: number,
  { isOver, news, signal }: { isOver: () => boolean; news: () => Promise<void>; signal: AbortSignal },
): AsyncGenerator<ExecutionEvent, void, void> {
  // A connection of its own: the execution may end and close its journal while somebody still reads.
  const reader = new DatabaseSync(path, { readOnly: true, timeout: readerTimeoutMs })
  try {
    const page = reader.prepare(
      'SELECT sequence, time, kind, data FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?',
    )
    let last = after
    while (!signal.aborted) {
      const wasOver = isOver()
      const more = news()
      const rows = page.all(last, pageSize)
      for (const row of rows) {
        last = Number(row['sequence'])
        yield {
          sequence: last,
          time: Number(row['time']),
          kind: String(row['kind']),
          data: JSON.parse(String(row['data'])) as Readonly<Record<string, unknown>>,
        }
      }
      if (rows.length === pageSize) continue
      if (wasOver) return
      await more
    }
  } finally {
    reader.close()
  }
}
