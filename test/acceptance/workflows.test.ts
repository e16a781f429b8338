import { execFile } from 'node:child_process'
import { cp, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ExecutionState } from '../../src/engine/contract.ts'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'

const workflows = join(import.meta.dirname, '../../workflows')

/** A ready workflow that has been run, and what it left. */
interface Ran {
  readonly state: ExecutionState
  readonly output: string
  readonly read: (path: string) => Promise<string>
  /** Cells of a CSV file without its header. */
  readonly rows: (path: string) => Promise<{ header: string; cells: string[][] }>
}

let engine: TestEngine

beforeAll(async () => {
  engine = await startTestEngine()
})
afterAll(async () => {
  await engine[Symbol.asyncDispose]()
})

async function runReady(name: string): Promise<Ran> {
  const { executions } = engine
  const signal = AbortSignal.timeout(100_000)
  const fill = async (directory: string): Promise<void> =>
    cp(join(workflows, name), directory, { recursive: true })
  const id = await executions.start({ script: 'workflow.ts', signal, fill })
  const state = await executions.ended(id, signal)
  expect(state.error).toBeUndefined()
  expect(state.counts.failed).toBe(0)
  const read = async (path: string): Promise<string> =>
    readFile(join(executions.workDirectory(id), path), 'utf8')
  return {
    state,
    output: await executions.output(id),
    read,
    rows: async (path) => {
      const [header = '', ...lines] = (await read(path)).trimEnd().split('\n')
      return { header, cells: lines.map((line) => line.split(',')) }
    },
  }
}

/** The lines that the workflow's README says it prints. */
async function promisedLines(name: string): Promise<string[]> {
  const readme = await readFile(join(workflows, name, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/^```text\n([^]*?)^```/gm)].map(([, block = '']) => block)
  return blocks.flatMap((block) => block.trimEnd().split('\n'))
}

async function expected(name: string, path: string): Promise<string> {
  return readFile(join(workflows, name, 'expected', path), 'utf8')
}

/** Tags without their partner, attributes without quotes, and stray signs; none in a well-formed document. */
function findXmlFaults(xml: string): string[] {
  const open: string[] = []
  const faults: string[] = []
  const text = xml.replaceAll(
    /<(\/?)([\w-]+)((?:\s+[\w:-]+="[^"<&]*")*)\s*(\/?)>/g,
    (_, end, name, _2, alone) => {
      if (end === '' && alone === '') open.push(String(name))
      else if (end !== '' && open.pop() !== name) faults.push(`</${String(name)}>`)
      return ''
    },
  )
  const stray = /[<>]|&(?!(amp|lt|gt|quot|apos|#\d+);)/.exec(text)
  return [...faults, ...open, ...(stray === null ? [] : [text.slice(stray.index, stray.index + 80)])]
}

describe('the ready workflows', () => {
  it('come complete: every one has a script and a README, and known results where they are ours', async () => {
    const names = (await readdir(workflows)).sort()
    expect(names).toEqual(['exciting', 'forest-fire', 'influenza', 'source-finder', 'word-count'])
    for (const name of names) {
      // What exciting gives is the matter of a program that is not ours.
      const results = name === 'exciting' ? [] : ['expected']
      expect(await readdir(join(workflows, name))).toEqual(
        expect.arrayContaining(['README.md', ...results, 'workflow.ts']),
      )
    }
  })

  it('influenza finds the rates that published fits find', { timeout: 120_000 }, async () => {
    const { state, output, read, rows } = await runReady('influenza')
    expect(state.counts.completed).toBe(4004)

    const best = JSON.parse(await read('best.json')) as Record<string, number>
    expect(best['r0']).toBeGreaterThan(3.4)
    expect(best['r0']).toBeLessThan(4)
    expect(best['beta']).toBeCloseTo(1.66, 1)
    expect(1 / (best['gamma'] ?? 0)).toBeCloseTo(2.2, 0)
    expect(best).toEqual(JSON.parse(await expected('influenza', 'best.json')))

    const fits = await rows('fits.csv')
    expect(fits.header).toBe('round,beta,gamma,r0,error')
    const inRound = (round: string) => fits.cells.filter((cells) => cells[0] === round)
    expect([fits.cells.length, inRound('1').length, inRound('2').length]).toEqual([4000, 2000, 2000])
    // The second round looks where the best of the first lie.
    const spread = (round: string): number => {
      const betas = inRound(round).map((cells) => Number(cells[1]))
      return Math.max(...betas) - Math.min(...betas)
    }
    expect(spread('2')).toBeLessThan(spread('1') / 5)
    expect(Math.min(...fits.cells.map((cells) => Number(cells[4])))).toBe(best['error'])

    expect(output.trimEnd().split('\n')).toEqual(await promisedLines('influenza'))
    const svg = await read('fit.svg')
    expect(findXmlFaults(svg)).toEqual([])
    expect(svg.match(/<title>/g)).toHaveLength(14)
  })

  it('forest-fire finds the percolation threshold', { timeout: 120_000 }, async () => {
    const { state, output, read, rows } = await runReady('forest-fire')
    expect(state.counts.completed).toBe(2121 + 21 + 1)

    const medians = await rows('medians.csv')
    expect(medians.header).toBe('density,medianBurned')
    expect(medians.cells).toHaveLength(21)
    for (const [density, median] of medians.cells.map((cells) => cells.map(Number))) {
      if (density !== undefined && density <= 0.55) expect(median).toBeLessThan(0.1)
      if (density !== undefined && density >= 0.62) expect(median).toBeGreaterThan(0.8)
    }
    const [, ...known] = (await expected('forest-fire', 'medians.csv')).trimEnd().split('\n')
    expect(medians.cells.map((cells) => cells.join(',')).sort()).toEqual(known)

    const burned = await rows('burned.csv')
    expect(burned.header).toBe('density,seed,burned')
    expect(new Set(burned.cells.map((cells) => cells.join())).size).toBe(2121)

    const lines = output.trimEnd().split('\n')
    expect(lines).toHaveLength(22)
    expect(lines).toEqual(expect.arrayContaining(await promisedLines('forest-fire')))
    const svg = await read('burned.svg')
    expect(findXmlFaults(svg)).toEqual([])
    expect(svg.match(/<circle/g)).toHaveLength(2121 + 1)
  })

  it('word-count counts as wc does', async () => {
    const { state, output, read, rows } = await runReady('word-count')
    expect(state.counts.completed).toBe(5)

    const directory = join(workflows, 'word-count/texts')
    const wc = async (name: string): Promise<number> =>
      Number.parseInt((await promisify(execFile)('wc', ['-w', name], { cwd: directory })).stdout, 10)
    const names = await readdir(directory)
    const counted = await Promise.all(names.map(async (name) => [`texts/${name}`, String(await wc(name))]))
    const texts = await rows('texts.csv')
    expect(texts.header).toBe('book,words')
    const lines = (cells: string[][]): string[] => cells.map((row) => row.join(',')).sort()
    expect(lines(texts.cells)).toEqual(lines(counted))

    expect(await read('words.csv')).toBe(await expected('word-count', 'words.csv'))
    const words = await rows('words.csv')
    const sum = words.cells.reduce((sum, [, count]) => sum + Number(count), 0)
    expect(sum).toBe(counted.reduce((sum, [, count]) => sum + Number(count), 0))

    expect(output.trimEnd().split('\n').sort()).toEqual((await promisedLines('word-count')).sort())
  })

  it('findXmlFaults finds what is not well-formed', () => {
    expect(findXmlFaults('<a b="1"><c/>&amp; ok</a>')).toEqual([])
    for (const broken of ['<a><b></a></b>', '<a>', '<a b=1/>', '<a>1 < 2</a>', '<a>x & y</a>', '</a>'])
      expect(findXmlFaults(broken), broken).not.toEqual([])
  })
})
