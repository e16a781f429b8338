import { z } from 'zod'
import { Problem } from '../problem.ts'
import { readKeyText } from './protocol/key-text.ts'

/** What a server tells of a code signing key that is kept elsewhere. No secret. */
export interface Announcement {
  /** The public half, as BOINC writes it. */
  readonly key: string
  /** For each older key, written without white space: its signature of the key. */
  readonly successions: Readonly<Record<string, string>>
}

const schema = z.object({ key: z.string(), successions: z.record(z.string(), z.string()) })

export function writeAnnouncement(announcement: Announcement): string {
  return `${JSON.stringify(announcement, undefined, 2)}\n`
}

/** Throws Problem configuration-invalid. */
export function readAnnouncement(text: string): Announcement {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new Problem('configuration-invalid', 'The public code signing key cannot be read.', { cause })
  }
  const read = schema.safeParse(parsed)
  if (!read.success)
    throw new Problem('configuration-invalid', 'The public code signing key is not what was written.', {
      hint: 'Write it again where the key is kept: molehill boinc keys --offline DIRECTORY',
    })
  readKeyText(read.data.key)
  return read.data
}
