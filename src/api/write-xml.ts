/** A document to be written. Texts and attributes are escaped when it is. */
export interface XmlNode {
  readonly name: string
  readonly attributes: Readonly<Record<string, string | number>>
  readonly children: readonly XmlContent[]
}

/** XML that is well-formed by itself and goes out as it stands. */
export interface RawXml {
  readonly raw: string
}

export type XmlContent = XmlNode | RawXml | string | number

/** An element. */
export function xml(name: string, ...children: readonly XmlContent[]): XmlNode {
  return { name, attributes: {}, children }
}

/** An element with attributes. */
export function xmlWith(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...children: readonly XmlContent[]
): XmlNode {
  return { name, attributes, children }
}

/** Text as a CDATA section; its end inside of the text is split over two. */
export function cdata(text: string): RawXml {
  return { raw: `<![CDATA[${replaceIllegal(text).replaceAll(']]>', ']]]]><![CDATA[>')}]]>` }
}

/** Whether every character of a text may stand in XML 1.0. */
export function isXmlText(text: string): boolean {
  return replaceIllegal(text) === text
}

/** One element and all in it, without a declaration. Throws TypeError for a name that XML does not allow. */
export function writeXml(content: XmlContent): string {
  const pieces: string[] = []
  write(content, pieces)
  return pieces.join('')
}

/** The same in ASCII: every other character as a numeric reference. Not for CDATA that holds such. */
export function writeAsciiXml(content: XmlContent): string {
  return writeXml(content).replaceAll(/[^\n\r\t -~]/gu, (character) => `&#${character.codePointAt(0) ?? 63};`)
}

function write(content: XmlContent, pieces: string[]): void {
  if (typeof content === 'string') pieces.push(escapeText(content))
  else if (typeof content === 'number') pieces.push(String(content))
  else if ('raw' in content) pieces.push(content.raw)
  else {
    const { name, attributes, children } = content
    pieces.push(`<${checkName(name)}`)
    for (const [key, value] of Object.entries(attributes))
      pieces.push(` ${checkName(key)}="${escapeAttribute(String(value))}"`)
    if (children.length === 0) pieces.push('/>')
    else {
      pieces.push('>')
      for (const child of children) write(child, pieces)
      pieces.push(`</${name}>`)
    }
  }
}

function checkName(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9._-]*$/.test(name))
    throw new TypeError(`${JSON.stringify(name)} cannot be the name of an XML element or attribute.`)
  return name
}

function escapeText(text: string): string {
  return replaceIllegal(text).replaceAll(/[&<>\r]/g, (character) => references[character] ?? character)
}

function escapeAttribute(text: string): string {
  return replaceIllegal(text).replaceAll(/[&<>"\r\n\t]/g, (character) => references[character] ?? character)
}

const references: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
  '\n': '&#10;',
  '\t': '&#9;',
}

function replaceIllegal(text: string): string {
  return text.toWellFormed().replaceAll(illegal, '\uFFFD')
}

// oxlint-disable-next-line no-control-regex -- finding control characters is what it is for
const illegal = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g
