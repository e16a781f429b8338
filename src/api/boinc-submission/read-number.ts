import { childText, type XmlElement } from '../xml.ts'
import { refuse } from './refuse.ts'

/** A number as clients write them: `7`, `0.000000`, `   60e9  `. Absent, empty and 0 mean that nothing is said. */
export function readNumber(element: XmlElement, name: string): number | undefined {
  const text = childText(element, name) ?? ''
  if (text === '') return undefined
  const number = Number(text)
  if (!Number.isFinite(number) || !/^[-+.0-9eE]+$/.test(text))
    throw refuse(`can't parse request message: ${name} is no number`)
  return number === 0 ? undefined : number
}

/** A whole number, such as an id. */
export function readInteger(element: XmlElement, name: string): number | undefined {
  const number = readNumber(element, name)
  if (number !== undefined && !Number.isSafeInteger(number))
    throw refuse(`can't parse request message: ${name} is no whole number`)
  return number
}
