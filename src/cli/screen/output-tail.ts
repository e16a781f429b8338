/** Turns a text that is read as a whole again and again into the pieces that are new. */
export interface OutputTail {
  /** What `text` has more than at the last call. Nothing when its middle has been left out since: see `rest`. */
  next(text: string): string
  /** What is still to be shown of the last text. */
  rest(text: string): string
}

export function createOutputTail(): OutputTail {
  let shown = ''
  return {
    next(text) {
      if (!text.startsWith(shown)) return ''
      // Whole lines only: half a line would be torn by what is drawn below it.
      const piece = text.slice(shown.length, text.lastIndexOf('\n') + 1)
      shown += piece
      return piece
    },
    rest(text) {
      return text.slice(commonLength(shown, text))
    },
  }
}

function commonLength(one: string, other: string): number {
  if (other.startsWith(one)) return one.length
  let length = 0
  while (length < one.length && one[length] === other[length]) length += 1
  return length
}
