const newline = 0x0a

export interface Cut {
  /** Bytes that belong to this side. */
  readonly bytes: number
  /** Whether this side is complete with them. */
  readonly isFull: boolean
}

/**
 * Cuts a UTF-8 text for a file that shall get at least `least` bytes of it and at most `most`: at the first line end
 * in this window, else at the last whole character. Negative numbers count as none.
 */
export function cutText(text: Buffer, least: number, most: number): Cut {
  if (text.length < least) return { bytes: text.length, isFull: false }
  const line = text.subarray(0, Math.max(0, most)).indexOf(newline, Math.max(0, least - 1))
  if (line >= 0) return { bytes: line + 1, isFull: true }
  if (text.length < most) return { bytes: text.length, isFull: false }
  let end = Math.max(0, most)
  while (end > 0 && isContinuation(text[end])) end -= 1
  return { bytes: end, isFull: true }
}

/** How many bytes at the end of a text belong to a character that is cut off there. */
export function incompleteEndBytes(text: Buffer): number {
  for (let length = 1; length <= Math.min(3, text.length); length += 1) {
    const byte = text[text.length - length] ?? 0
    if (!isContinuation(byte)) return characterBytes(byte) > length ? length : 0
  }
  return 0
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}

function characterBytes(first: number): number {
  if (first >= 0xf0) return 4
  if (first >= 0xe0) return 3
  return first >= 0xc0 ? 2 : 1
}
