import { createHash } from 'node:crypto'
import { readdir, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** What stands in the first line of all in place of a hash. */
export const nothingBefore = '0'.repeat(64)

/** Where a full log goes: `audit.log` whose last entry is the 5000th becomes `audit-000000005000.log`. */
export function fullLogPath(path: string, lastSequence: number): string {
  return join(dirname(path), `${stem(path)}-${String(lastSequence).padStart(12, '0')}.log`)
}

/** The full logs beside the one that is written, oldest first. */
export async function listFullLogs(path: string): Promise<readonly string[]> {
  const prefix = `${stem(path)}-`
  const names = await readdir(dirname(path))
  return names
    .filter((name) => name.startsWith(prefix) && /^\d{12}\.log$/.test(name.slice(prefix.length)))
    .sort()
    .map((name) => join(dirname(path), name))
}

export function hashOf(line: string): string {
  return createHash('sha256').update(line).digest('hex')
}

/** What of a line says where it belongs. `continues` names the full log before, in the first line of the next. */
export interface LinePlace {
  readonly sequence: number | undefined
  readonly previous: unknown
  readonly continues: unknown
}

export function readPlace(line: string): LinePlace {
  try {
    const parsed: unknown = JSON.parse(line)
    if (typeof parsed === 'object' && parsed !== null && 'sequence' in parsed && 'previous' in parsed)
      return {
        sequence: Number(parsed.sequence),
        previous: parsed.previous,
        continues: 'continues' in parsed ? parsed.continues : undefined,
      }
  } catch {
    // Told by what is missing.
  }
  return { sequence: undefined, previous: undefined, continues: undefined }
}

export async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

function stem(path: string): string {
  return basename(path, '.log')
}
