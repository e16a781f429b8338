/** The text of an XML file in the encoding that it declares, UTF-8 or ISO-8859-1; undefined where it is in neither. */
export function decodeXml(content: Uint8Array): string | undefined {
  const start = Buffer.from(content.subarray(0, 200)).toString('latin1')
  const encoding = /^(?:\u00EF\u00BB\u00BF)?\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]+)["']/.exec(
    start,
  )?.[1]
  const name = (encoding ?? 'utf-8').toLowerCase()
  if (name === 'iso-8859-1' || name === 'latin1') return Buffer.from(content).toString('latin1')
  if (name !== 'utf-8' && name !== 'us-ascii' && name !== 'utf8') return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    return undefined
  }
}
