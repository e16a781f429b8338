import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { Problem } from '../problem.ts'

/** An element of a document that came from outside: its texts hold what was meant, references are resolved. */
export interface XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  /** In the order in which they stand; CDATA is text. */
  readonly children: readonly (XmlElement | string)[]
}

export interface XmlLimits {
  /** UTF-16 units of the whole document. */
  readonly length: number
  /** Elements inside of elements. */
  readonly depth: number
  /** Elements of the whole document. */
  readonly elements: number
}

export const defaultXmlLimits: XmlLimits = { length: 64 * 2 ** 20, depth: 50, elements: 2_000_000 }

const textName = '#text'
const cdataName = '#cdata'
const attributesName = ':@'

/**
 * Reads a document (XML 1.0). There is no document type, and so no entities but the five of XML; nothing outside of
 * the text is ever looked at. Throws Problem body-invalid, with line and column where they are known, and
 * body-too-large.
 */
export function parseXml(text: string, limits: XmlLimits = defaultXmlLimits): XmlElement {
  if (text.length > limits.length)
    throw new Problem(
      'body-too-large',
      `The XML document has ${text.length} characters; expected at most ${limits.length}.`,
    )
  const source = text.replace(/^\uFEFF/, '').replaceAll(/\r\n?/g, '\n')
  scan(source, limits)
  const verdict = XMLValidator.validate(source)
  if (verdict !== true)
    throw malformed(`${verdict.err.msg} (line ${verdict.err.line}, column ${verdict.err.col})`)
  const roots = parseNodes(source, limits.depth).filter(
    (node) => typeof node !== 'string' || node.trim() !== '',
  )
  const [root] = roots
  if (root === undefined || roots.length > 1 || typeof root === 'string')
    throw malformed('Expected one root element.')
  return root
}

/** The elements of that name right below an element. */
export function childrenNamed(element: XmlElement, name: string): readonly XmlElement[] {
  return element.children.filter(
    (child): child is XmlElement => typeof child !== 'string' && child.name === name,
  )
}

/** The first element of that name right below an element. */
export function childNamed(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find(
    (child): child is XmlElement => typeof child !== 'string' && child.name === name,
  )
}

/** The text of an element, that of elements in it left out, as it stands. */
export function textOf(element: XmlElement): string {
  return element.children.filter((child) => typeof child === 'string').join('')
}

/** The text of the first element of that name right below an element, without white space around it. */
export function childText(element: XmlElement, name: string): string | undefined {
  const child = childNamed(element, name)
  return child === undefined ? undefined : textOf(child).trim()
}

/** Refuses what the parser would let pass. Takes time in proportion to the text, whatever stands in it. */
function scan(source: string, limits: XmlLimits): void {
  const illegal = illegalCharacter.exec(source)
  if (illegal !== null) throw malformed(`A character that XML does not allow${at(source, illegal.index)}.`)
  if (!source.trimEnd().endsWith('>')) throw malformed('The document does not end with its root element.')
  let elements = 0
  for (let from = source.indexOf('<'); from >= 0; from = source.indexOf('<', from)) {
    const skipped = skip(source, from)
    if (skipped === undefined) {
      if (source[from + 1] === '!')
        throw malformed(`A document type or another declaration${at(source, from)}; expected none.`)
      if (source[from + 1] !== '/' && source[from + 1] !== '?') elements += 1
      if (elements > limits.elements)
        throw new Problem('body-too-large', `The XML document has more than ${limits.elements} elements.`)
    }
    from = skipped ?? from + 1
  }
}

/** Where a comment or CDATA ends that begins here; undefined where none begins. */
function skip(source: string, from: number): number | undefined {
  for (const [begin, end] of passages) {
    if (!source.startsWith(begin, from)) continue
    const found = source.indexOf(end, from + begin.length)
    if (found < 0) throw malformed(`${begin} without ${end}${at(source, from)}.`)
    return found + end.length
  }
  return undefined
}

const passages = [
  ['<!--', '-->'],
  ['<![CDATA[', ']]>'],
] as const

// oxlint-disable-next-line no-control-regex -- finding control characters is what it is for
const illegalCharacter = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/

function parseNodes(source: string, depth: number): readonly (XmlElement | string)[] {
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '',
    textNodeName: textName,
    cdataPropName: cdataName,
    parseTagValue: false,
    parseAttributeValue: false,
    trimValues: false,
    processEntities: false,
    ignoreDeclaration: true,
    ignorePiTags: true,
    maxNestedTags: depth,
  })
  let parsed: readonly ParsedNode[]
  try {
    parsed = parser.parse(source) as readonly ParsedNode[]
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message.slice(0, 200) : 'It cannot be parsed.', cause)
  }
  return parsed.flatMap((node) => readNode(node))
}

/** One property that is the name, whose value is what is inside, and perhaps attributes. */
type ParsedNode = Readonly<Record<string, unknown>>

function readNode(node: ParsedNode): readonly (XmlElement | string)[] {
  const name = Object.keys(node).find((key) => key !== attributesName)
  if (name === undefined) return []
  const content = node[name]
  if (name === textName) return [resolve(String(content))]
  const inside = content as readonly ParsedNode[]
  if (name === cdataName) return [inside.map((each) => String(each[textName])).join('')]
  const attributes = Object.entries((node[attributesName] ?? {}) as Readonly<Record<string, string>>)
  return [
    {
      name,
      attributes: Object.fromEntries(attributes.map(([key, value]) => [key, resolve(value)])),
      children: inside.flatMap((each) => readNode(each)),
    },
  ]
}

const predefined: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** Resolves character references and the five entities of XML itself, once. */
function resolve(text: string): string {
  if (!text.includes('&')) return text
  return text.replaceAll(/&([^;&\s]{0,40});?/g, (whole, name: string) => {
    const known = Object.hasOwn(predefined, name) ? predefined[name] : characterOf(name)
    if (known === undefined || !whole.endsWith(';'))
      throw malformed(`${JSON.stringify(whole)} is no reference that XML itself knows.`)
    return known
  })
}

function characterOf(name: string): string | undefined {
  const [, hexadecimal, decimal] = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name) ?? []
  const code = hexadecimal === undefined ? Number(decimal) : Number.parseInt(hexadecimal, 16)
  if (!(code > 0 && code <= 0x10ffff) || (code >= 0xd800 && code <= 0xdfff)) return undefined
  const character = String.fromCodePoint(code)
  return illegalCharacter.test(character) ? undefined : character
}

function at(source: string, index: number): string {
  const before = source.slice(0, index)
  const line = before.split('\n').length
  return ` (line ${line}, column ${index - before.lastIndexOf('\n')})`
}

function malformed(message: string, cause?: unknown): Problem {
  return new Problem('body-invalid', message, { hint: 'Send one well-formed XML document.', cause })
}
