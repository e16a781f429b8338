import { Problem } from '../../problem.ts'

/** One element: its name, and what stands between its tags as it came. */
export interface Element {
  readonly name: string
  readonly content: string
  /** Where what follows it begins. */
  readonly end: number
}

/** Tags that nothing ends: more are not looked for, as each look goes to the end of the text. */
const mostUnclosed = 16
const longestName = 100

/**
 * The elements of a text, one after the other, without those inside them. Nothing is checked: what is between them is
 * passed over, and so is a tag without an end. Texts are bytes, a character each (latin1). Throws Problem body-invalid
 * for a text of tags only.
 */
export function* elementsOf(text: string, begin = 0): Generator<Element> {
  const unclosed = new Set<string>()
  let at = begin
  for (;;) {
    const open = text.indexOf('<', at)
    if (open === -1) return
    const name = nameAt(text, open + 1)
    const close = open + 1 + name.length
    if (name === '' || text[close] === undefined) at = open + 1
    else if (text[close] !== '>') {
      // `<name/>`, or a tag with attributes, which this protocol does not have.
      if (text.startsWith('/>', close)) yield { name, content: '', end: close + 2 }
      at = close + 1
    } else {
      const closing = `</${name}>`
      const end = unclosed.has(name) ? -1 : text.indexOf(closing, close)
      if (end === -1) {
        unclosed.add(name)
        if (unclosed.size > mostUnclosed) throw new Problem('body-invalid', 'The tags have no ends.')
        at = close + 1
      } else {
        at = end + closing.length
        yield { name, content: text.slice(close + 1, end), end: at }
      }
    }
  }
}

/** Contents by name; of a name that comes twice, the first counts. */
export function fieldsOf(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const { name, content } of elementsOf(text)) if (!fields.has(name)) fields.set(name, content)
  return fields
}

/** The text of a content, of at most so many characters: trimmed, references resolved, bytes taken as UTF-8. */
export function textOf(content: string | undefined, mostCharacters: number): string {
  if (content === undefined) return ''
  const plain = content.trim().slice(0, 6 * mostCharacters)
  // Clients write a byte as a reference, not a character.
  const bytes = plain.includes('&') ? plain.replaceAll(reference, resolve) : plain
  // oxlint-disable-next-line no-control-regex -- whether there are others than ASCII
  const text = /^[\u0000-\u007f]*$/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8')
  return text.slice(0, mostCharacters)
}

/** A number of a content, where it is one and lies between; else the fallback. */
export function numberOf(content: string | undefined, fallback: number, least = 0, most = 2 ** 53): number {
  const number = content === undefined || content.trim() === '' ? NaN : Number(content)
  return number >= least && number <= most ? number : fallback
}

const reference = /&(?:lt|gt|amp|quot|apos|#(\d{1,3}));/g

const named: Readonly<Record<string, string>> = {
  '&lt;': '<',
  '&gt;': '>',
  '&amp;': '&',
  '&quot;': '"',
  '&apos;': "'",
}

function resolve(whole: string, digits: string | undefined): string {
  if (digits === undefined) return named[whole] ?? whole
  const byte = Number(digits)
  return byte > 0 && byte < 256 ? String.fromCharCode(byte) : whole
}

function nameAt(text: string, begin: number): string {
  let end = begin
  while (end < begin + longestName && isNameCharacter(text.charCodeAt(end))) end++
  return text.slice(begin, end)
}

function isNameCharacter(code: number): boolean {
  const isLetter = (code | 32) >= 97 && (code | 32) <= 122
  return isLetter || code === 95 || (code >= 48 && code <= 57) || code === 45 || code === 46
}
