import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeTsconfig } from '../../src/cli/starter.ts'
import { startTestEngine, writeFiles, type TestEngine } from '../helpers/engine.ts'
import { messageOf } from '../../src/problem.ts'

const root = join(import.meta.dirname, '../..')
const blocks = findBlocks(await readFile(join(root, 'docs/guide.md'), 'utf8'))
const examples = findExamples()
const shared = Object.fromEntries(
  blocks.flatMap(({ label, content }) => (label.startsWith('file=') ? [[label.slice(5), content]] : [])),
)

/** A fenced block of the guide: ```language label. */
interface Block {
  readonly heading: string
  readonly language: string
  readonly label: string
  readonly content: string
}

/** A whole script, and what the guide says comes of it. */
interface Example {
  readonly name: string
  readonly script: string
  /** What it is started with. */
  readonly inputs: Readonly<Record<string, unknown>> | undefined
  readonly output: string | undefined
  readonly error: string | undefined
  readonly results: ReadonlyMap<string, string>
}

function findBlocks(guide: string): Block[] {
  const fences = /^#+ (.*)$|^```(\w+) ?(.*)\n([^]*?)^```$/gm
  let heading = ''
  return [...guide.matchAll(fences)].flatMap(([, title, language = '', label = '', content = '']) => {
    if (title === undefined) return [{ heading, language, label, content }]
    heading = title
    return []
  })
}

function findExamples(): Example[] {
  const isScript = ({ language, label }: Block): boolean => language === 'ts' && label === ''
  return blocks.flatMap((block, index) => {
    if (!isScript(block)) return []
    const end = blocks.findIndex((other, position) => position > index && other.language === 'ts')
    const following = blocks.slice(index + 1, end === -1 ? undefined : end)
    const labelled = (label: string): string | undefined =>
      following.find((other) => other.language === 'text' && other.label === label)?.content
    const given = following.find(({ language, label }) => language === 'json' && label === 'inputs')
    const results = following.filter(({ label }) => label.startsWith('result='))
    const before = blocks
      .slice(0, index)
      .filter((other) => isScript(other) && other.heading === block.heading)
    return [
      {
        name: `${block.heading}, example ${before.length + 1}`,
        script: block.content,
        inputs: given && (JSON.parse(given.content) as Readonly<Record<string, unknown>>),
        output: labelled(''),
        error: labelled('error'),
        results: new Map(results.map(({ label, content }) => [label.slice('result='.length), content])),
      },
    ]
  })
}

/** Lines of jobs that ran at the same time come in any order. */
function sortLines(text: string): string[] {
  return text.trimEnd().split('\n').sort()
}

describe('the guide', () => {
  let engine: TestEngine

  beforeAll(async () => {
    // Every example starts processes of its own: with one worker thread each they are half as slow.
    engine = await startTestEngine({ slots: 1 })
  })
  afterAll(async () => {
    await engine[Symbol.asyncDispose]()
  })

  async function run({ script, inputs }: Example): Promise<{ id: string; error: string | undefined }> {
    try {
      const files = { ...shared, 'workflow.ts': script }
      const started = await engine.start(files, inputs === undefined ? {} : { inputs })
      const { id, error } = await engine.executions.ended(started, AbortSignal.timeout(60_000))
      return { id, error: error?.message }
    } catch (error) {
      return { id: '', error: messageOf(error) }
    }
  }

  it.for(examples)('tells what comes of: $name', { timeout: 60_000 }, async (example) => {
    const { output, error, results } = example
    const ran = await run(example)
    if (error !== undefined) {
      expect(ran.error).toContain(error.trimEnd())
      return
    }
    expect(ran.error).toBeUndefined()
    expect(sortLines(await engine.executions.output(ran.id))).toEqual(sortLines(output ?? ''))
    for (const [path, content] of results) {
      const written = await readFile(join(engine.executions.workDirectory(ran.id), path), 'utf8')
      expect(path.endsWith('.csv') ? sortLines(written) : written).toEqual(
        path.endsWith('.csv') ? sortLines(content) : content,
      )
    }
  })

  it('says of every example what comes of it', () => {
    expect(examples.length).toBeGreaterThan(30)
    const silent = examples.filter(({ output, error, results }) => {
      return output === undefined && error === undefined && results.size === 0
    })
    expect(silent.map(({ name }) => name)).toEqual([])
    const unknown = blocks.filter(({ label }) => !/^(fragment|error|inputs|(file|result)=\S+|)$/.test(label))
    expect(unknown).toEqual([])
  })

  it('shows everything that scripts can import', async () => {
    const text = blocks.map(({ content }) => content).join('')
    const names = Object.keys(await import('../../src/molehill.ts'))
    const classes = new Set(['Capsule', 'Workflow'])
    expect(
      names.filter((name) => !classes.has(name) && !text.includes(`${name}(`) && !text.includes(`${name}\``)),
    ).toEqual([])
  })

  it('has examples whose types are right in an editor', { timeout: 60_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-guide-'))
    try {
      const types = { language: join(root, 'src/molehill.ts'), node: join(root, 'node_modules/@types/node') }
      // Two of the examples are wrong on purpose, but not in their types.
      const scripts = examples.map(({ script }, index) => [`example-${index + 1}.ts`, script] as const)
      await writeFiles(directory, { ...shared, ...Object.fromEntries(scripts) })
      await writeFile(join(directory, 'tsconfig.json'), makeTsconfig(types))
      const compiler = join(root, 'node_modules/typescript/bin/tsc')
      const checked = promisify(execFile)(process.execPath, [compiler, '-p', directory])
      const complaints = await checked.then(
        () => '',
        ({ stdout }: { stdout: string }) => stdout,
      )
      expect(complaints).toBe('')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
