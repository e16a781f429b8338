import { Problem } from '../../problem.ts'
import { cdata, isXmlText, writeXml, xml, xmlWith, type XmlContent, type XmlNode } from '../write-xml.ts'
import { parseXml } from '../xml.ts'
import type { CalculationFile, CalculationStatus } from './calculation.ts'
import { decodeXml } from './decode-xml.ts'

/** An answer that is XML. */
export function xmlAnswer(root: XmlNode, status = 200): Response {
  return new Response(`<?xml version="1.0" encoding="utf-8"?>\n${writeXml(root)}\n`, {
    status,
    headers: { 'content-type': 'text/xml; charset=utf-8', 'cache-control': 'no-store' },
  })
}

export function textAnswer(text: string, status = 200): Response {
  return new Response(text, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
  })
}

/** Why there is no other answer. */
export function errorAnswer(message: string, status: number): Response {
  return xmlAnswer(xml('error', xml('message', message)), status)
}

/** How a calculation stands. */
export function statusDocument(hash: string, { state, jobId, detail }: CalculationStatus): XmlNode {
  const embedded = embed(detail)
  return xmlWith(
    'status',
    { id: hash, jobid: jobId },
    xml('state', state),
    xml('detail', embedded ?? (detail === '' ? '' : detail)),
  )
}

/** What the job printed: both streams, empty where they are not there. */
export function outputsDocument(files: readonly CalculationFile[]): XmlNode {
  const content = (name: string) => files.find((file) => file.name === name)?.content ?? Buffer.alloc(0)
  return xml('files', ...['stdout', 'stderr'].map((name) => fileOf(name, content(name), true)))
}

/** All XML files of the calculation by name. What is well-formed is embedded, without prolog and document type. */
export function resultsDocument(files: readonly CalculationFile[]): XmlNode {
  const wanted = files
    .filter(({ name }) => name.endsWith('.xml'))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return xml('files', ...wanted.map(({ name, content }) => fileOf(name, content, false)))
}

function fileOf(name: string, content: Buffer, isPlain: boolean): XmlNode {
  const size = content.length
  const text = isPlain ? decodeText(content) : decodeXml(content)
  const embedded = text === undefined || isPlain ? undefined : embed(text)
  if (embedded !== undefined) return xmlWith('file', { name, size }, embedded)
  if (text === undefined || !isXmlText(text))
    return xmlWith('file', { name, size, encoding: 'base64' }, content.toString('base64'))
  return xmlWith('file', { name, size, encoding: 'utf-8' }, cdata(text))
}

function decodeText(content: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}

/** A document as what can stand inside of another one; undefined where it is not well-formed by itself. */
function embed(text: string): XmlContent | undefined {
  const root = text
    .replace(/^\uFEFF/, '')
    .replace(/^\s*<\?xml[^>]*\?>/, '')
    .replace(/^(?:\s*<\?[^>]*\?>|\s*<!--(?:(?!-->)[\s\S]){0,10000}-->)*\s*/, '')
    .replace(/^<!DOCTYPE[^[>]*>/, '')
  if (!root.trimStart().startsWith('<')) return undefined
  try {
    parseXml(root)
    return { raw: root.trim() }
  } catch (error) {
    if (error instanceof Problem) return undefined
    throw error
  }
}
