import { existsSync } from 'node:fs'
import { glob, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { documentOptions } from '../src/config/show.ts'

const root = join(import.meta.dirname, '..')
const notOurs = new Set(['node_modules', 'dist', '.git', '.molehill'])

/** A document with its path from the root. */
interface Document {
  readonly path: string
  readonly text: string
}

let documents: readonly Document[]

beforeAll(async () => {
  const paths: string[] = []
  const exclude = (path: string): boolean => path.split('/').some((part) => notOurs.has(part))
  for await (const path of glob('**/*.md', { cwd: root, exclude })) paths.push(path)
  documents = await Promise.all(
    paths.sort().map(async (path) => ({ path, text: await readFile(join(root, path), 'utf8') })),
  )
})

/** What is no code: links and headings in code mean nothing. */
function withoutCode(text: string): string {
  return text.replaceAll(/^```[^]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '')
}

function linksIn(text: string): string[] {
  const prose = withoutCode(text)
  const inline = [...prose.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)]
  const references = [...prose.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm)]
  return [...inline, ...references].map(([, target = '']) => target)
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsIn(text: string): string[] {
  const headings = [...text.replaceAll(/^```[^]*?^```/gm, '').matchAll(/^#{1,6} (.+)$/gm)]
  return headings.map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  )
}

async function findBrokenLinks({ path, text }: Document): Promise<string[]> {
  const broken: string[] = []
  for (const link of linksIn(text)) {
    if (/^[a-z][a-z\d+.-]*:/i.test(link)) continue
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? join(root, path) : join(root, dirname(path), decodeURIComponent(file))
    if (!existsSync(target)) broken.push(`${path}: ${link} leads nowhere`)
    else if (anchor !== undefined && !anchorsIn(await readFile(target, 'utf8')).includes(anchor))
      broken.push(`${path}: ${link} names no heading there`)
  }
  return broken
}

describe('the documents', () => {
  it('are found', () => {
    expect(documents.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['README.md', 'docs/operations.md', 'docs/decisions/template.md']),
    )
  })

  it('link to what is there', async () => {
    expect((await Promise.all(documents.map(findBrokenLinks))).flat()).toEqual([])
  })

  it('name every kind of environment', async () => {
    const page = documents.find(({ path }) => path === 'docs/operations/environments.md')
    const kinds: string[] = []
    for await (const path of glob('environments/*/index.ts', { cwd: root }))
      kinds.push(basename(dirname(path)))
    expect(kinds).toContain('local')
    expect(kinds.filter((kind) => page?.text.includes(`\`${kind}\``) !== true)).toEqual([])
  })

  it('lead who adds something only to files and functions that are there', async () => {
    const text = documents.find(({ path }) => path === 'CONTRIBUTING.md')?.text ?? ''
    const spans = [...text.replaceAll(/^```[^]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(
      ([, span = '']) => span,
    )
    // Examples are called NAME or lsf.
    const files = spans.filter((span) => /^[\w.-]+(?:\/[\w.-]+)+\/?$/.test(span) && !/NAME|lsf/.test(span))
    const isThere = (path: string): boolean =>
      [root, join(root, 'src/environment')].some((place) => existsSync(join(place, path)))
    expect(files).toContain('environments/sge/')
    expect(files.filter((path) => !isThere(path))).toEqual([])
    const words = new Set<string>()
    for await (const path of glob('{src,environments,test}/**/*.ts', { cwd: root }))
      for (const [word] of (await readFile(join(root, path), 'utf8')).matchAll(/\w+/g)) words.add(word)
    const names = spans.filter((span) => /^[a-z]+[A-Z]\w+$|^[A-Z]\w+[a-z]$/.test(span))
    expect(names).toContain('describeEnvironment')
    expect(names.filter((name) => !words.has(name))).toEqual([])
  })

  it('name no path of the machine they were written on', () => {
    const machinePath = /(?<![\w.~<>{}$*/:-])\/(?:root|home|Users|work|mnt|media)\/[\w.-]+/g
    const found = documents.flatMap(({ path, text }) =>
      [...text.matchAll(machinePath)].map(([match]) => `${path}: ${match}`),
    )
    expect(found).toEqual([])
  })

  it('hold every decision in the index, by number', async () => {
    const index = await readFile(join(root, 'docs/README.md'), 'utf8')
    const records = documents
      .map(({ path }) => path)
      .filter((path) => /^docs\/decisions\/\d{4}-/.test(path))
      .map((path) => path.slice('docs/'.length))
    expect(linksIn(index).filter((link) => link.startsWith('decisions/0'))).toEqual(records)
  })

  it('tell the options that there are', async () => {
    const path = join(root, 'docs/operations.md')
    const page = await readFile(path, 'utf8')
    const table =
      /(<!-- options: begin[^\n]*\n<!-- prettier-ignore-start -->\n)[^]*?(<!-- prettier-ignore-end -->\n<!-- options: end -->)/
    expect(page).toMatch(table)
    const inStep = page.replace(
      table,
      (_, begin: string, end: string) => `${begin}\n${documentOptions()}\n${end}`,
    )
    await expect(inStep).toMatchFileSnapshot('../docs/operations.md')
  })
})
