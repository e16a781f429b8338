import { extname } from 'node:path'

const mostBytes = 120

/**
 * A name for a file that a client has named: no directory, nothing that a shell, a program's options or a terminal
 * could take for more than a name, and the same ending. `-rf ../a b.FITS` becomes `a_b.FITS`.
 */
export function safeFileName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? ''
  const safe = last
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')
    .replace(/^[._-]+/, '')
  if (Buffer.byteLength(safe) <= mostBytes) return safe === '' ? 'file' : safe
  const ending = extname(safe)
  const kept = Buffer.byteLength(ending) <= mostBytes / 2 ? ending : ''
  return `${cut(safe, mostBytes - Buffer.byteLength(kept))}${kept}`
}

/** The beginning of a text, in whole characters. */
function cut(text: string, bytes: number): string {
  let kept = ''
  let length = 0
  for (const character of text) {
    length += Buffer.byteLength(character)
    if (length > bytes) break
    kept += character
  }
  return kept
}
