import { Problem } from '../problem.ts'

const shownCharacters = 200

/** A name for a message: quoted, on one line, not longer than a line or two. */
export function quoteName(name: string): string {
  const text = name.length > shownCharacters ? `${name.slice(0, shownCharacters)}...` : name
  return JSON.stringify(text)
}

/** The archive holds an entry that could do harm. */
export function unsafeEntry(
  name: string,
  what: string,
  hint = 'Leave it out or rename it, then pack again.',
): Problem {
  return new Problem('archive-unsafe', `Entry ${quoteName(name)} ${what}.`, { hint })
}

/** The archive is damaged or no archive at all. */
export function invalidArchive(message: string, cause?: unknown): Problem {
  return new Problem('archive-invalid', message, {
    hint: 'Pack the directory with: tar -czf work.tar.gz -C directory .',
    cause,
  })
}

/** The archive passes one of the limits. */
export function archiveTooLarge(message: string): Problem {
  return new Problem('archive-too-large', message, {
    hint: 'Leave out what the workflow does not need, or ask the operator to raise the limit.',
  })
}
