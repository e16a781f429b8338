import { join } from 'node:path'
import { Problem } from '../problem.ts'
import { quoteName } from './refusal.ts'

const partBytes = 255
const pathBytes = 4096

/**
 * The absolute path that a client's path names inside `root`; '' is the root itself. Only the text is checked:
 * links are `openInside`'s to check.
 *
 * @throws Problem `path-unsafe` for NUL, absolute paths, backslashes, parent steps and names that are too long.
 */
export function resolveInside(root: string, path: string): string {
  return join(root, ...splitInside(path))
}

/** The parts of a client's path, without `.` and empty ones; see `resolveInside`. */
export function splitInside(path: string): string[] {
  if (path.includes('\0')) throw unsafePath(path, 'holds a NUL character')
  if (path.includes('\\')) throw unsafePath(path, 'holds a backslash')
  if (path.startsWith('/')) throw unsafePath(path, 'is absolute')
  if (Buffer.byteLength(path) > pathBytes) throw unsafePath(path, `is longer than ${pathBytes} bytes`)
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw unsafePath(path, 'holds a parent step (..)')
  if (parts.some((part) => Buffer.byteLength(part) > partBytes))
    throw unsafePath(path, `has a part longer than ${partBytes} bytes`)
  return parts
}

export function unsafePath(path: string, what: string): Problem {
  return new Problem('path-unsafe', `The path ${quoteName(path)} ${what}.`, {
    hint: 'Give a path relative to the work directory, such as results/table.csv.',
  })
}
