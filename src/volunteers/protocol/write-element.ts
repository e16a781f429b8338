/** `<name>content</name>` and the end of a line. */
export function element(name: string, content: string | number): string {
  return `<${name}>${typeof content === 'number' ? String(content) : escapeXml(content)}</${name}>\n`
}

/** Control characters, which XML has no way to write, become blanks. */
export function escapeXml(text: string): string {
  return plain.test(text) ? text : text.replaceAll(special, (character) => references[character] ?? ' ')
}

/** As C's %f. */
export function fixed(number: number): string {
  return number.toFixed(6)
}

/** Milliseconds since 1970 as the protocol's seconds. */
export function seconds(timeMs: number): number {
  return Math.floor(timeMs / 1000)
}

// oxlint-disable-next-line no-control-regex -- finding control characters is what it is for
const special = /[\u0000-\u0008\u000b-\u001f\u007f&<>"']/g
// oxlint-disable-next-line no-control-regex -- and this finds texts without
const plain = /^[^\u0000-\u0008\u000b-\u001f\u007f&<>"']*$/

const references: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}
