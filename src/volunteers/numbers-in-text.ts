import { createHash } from 'node:crypto'
import { Problem } from '../problem.ts'

/** What is left of a content when its numbers are taken out. */
export interface TextWithNumbers {
  /** Of all but the numbers; of all bytes where it is no text. */
  readonly digest: string
  readonly numbers: readonly number[]
}

/** A number that is no part of a name or a version. `D` is how Fortran writes exponents. */
const numberPattern = /(?<![\w.])[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eEdD][+-]?\d+)?(?![\w.])/g
const wordPattern = /[\w.+-]+/g
const outsideWords = /[^\w.+-]/
/** No number is written with so many letters: what is longer is taken as it is. */
const longestWord = 4096

/** Numbers that may still be found: what waits to be compared is in memory. */
export interface NumberAllowance {
  left: number
}

/**
 * Takes a content in pieces, and tells its numbers apart from the rest. How many blanks stand in a row does not
 * matter, as columns are filled with them. Throws Problem body-too-large where there are more numbers than are allowed.
 */
export function createNumberReader(allowance: NumberAllowance): {
  update(chunk: Buffer): void
  end(): TextWithNumbers
} {
  const whole = createHash('sha256')
  const rest = createHash('sha256')
  const numbers: number[] = []
  let isText = true
  let waiting = ''
  let isInLongWord = false
  let endsBlank = false

  function takeOut(text: string): void {
    add(
      text.replaceAll(wordPattern, (word) =>
        word.length > longestWord ? word : word.replaceAll(numberPattern, keepNumber),
      ),
    )
  }

  function keepNumber(found: string): string {
    allowance.left -= 1
    if (allowance.left < 0) throw new Problem('body-too-large', 'There are too many numbers to be compared.')
    numbers.push(Number(found.replace(/[dD]/, 'e')))
    return '\u0001'
  }

  function add(text: string): void {
    const single = text.replaceAll(/[ \t]+/g, ' ')
    const added = endsBlank && single.startsWith(' ') ? single.slice(1) : single
    if (added === '') return
    endsBlank = added.endsWith(' ')
    rest.update(added, 'latin1')
  }

  return {
    update(chunk) {
      whole.update(chunk)
      if (!isText || chunk.includes(0)) {
        isText = false
        return
      }
      let text = chunk.toString('latin1')
      if (isInLongWord) {
        const end = text.search(outsideWords)
        if (end !== 0) add(end < 0 ? text : text.slice(0, end))
        if (end < 0) return
        isInLongWord = false
        text = text.slice(end)
      }
      text = waiting + text
      let cut = text.length
      while (cut > 0 && !outsideWords.test(text.charAt(cut - 1))) cut -= 1
      waiting = text.slice(cut)
      takeOut(text.slice(0, cut))
      if (waiting.length <= longestWord) return
      add(waiting)
      waiting = ''
      isInLongWord = true
    },
    end() {
      if (!isText) return { digest: whole.digest('hex'), numbers: [] }
      takeOut(waiting)
      return { digest: rest.digest('hex'), numbers }
    },
  }
}
