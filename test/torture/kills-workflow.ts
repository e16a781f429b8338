import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { executionDirectory } from './server.ts'

/**
 * A fan-out over a function and a command, and a fan-in, each with a hook. The function keeps account of its runs.
 * `more` is put behind both tasks, such as a `.retry`. `pauseSeconds` is how long each command sleeps.
 */
export function fanScript(size: number, more = '', pauseSeconds = 0): string {
  const pause = pauseSeconds === 0 ? '' : `sleep ${pauseSeconds}; `
  return `
    import { commandTask, csv, display, explore, functionTask, integer, jsonLines, range, readStdout, shell, text } from 'molehill'
    import { appendFileSync } from 'node:fs'
    const x = integer('x'), y = integer('y'), z = integer('z'), sum = integer('sum')
    const spin = (ms: number): void => { const end = performance.now() + ms; while (performance.now() < end) continue }
    const work = functionTask('work', {
      inputs: [x], outputs: [y],
      run({ x }) { appendFileSync('runs.log', x + '\\n'); spin(5); return { y: 2 * x } },
    })${more}.hook(csv('rows.csv'), display(text\`did \${x}\`))
    const print = commandTask('print', { command: shell\`${pause}echo \${y}\`, outputs: [readStdout(z)] })${more}
      .hook(jsonLines('rows.jsonl', { values: [x, z] }))
    const add = functionTask('add', {
      inputs: [z.array], outputs: [sum], run: ({ z }) => ({ sum: z.reduce((a, b) => a + b, 0) }),
    }).hook(csv('sum.csv', { values: [sum] }))
    export default explore(range(x, { from: 1, to: ${size} }), work.next(print)).aggregate(add)
  `
}

export interface HookRows {
  readonly rowsLost: number
  readonly rowsDoubled: number
  readonly linesLost: number
  readonly linesDoubled: number
}

/** Compares what the hooks of a finished execution wrote with what they should have. */
export async function checkHookRows(
  dataDirectory: string,
  id: string,
  size: number,
  output: string,
): Promise<HookRows> {
  const read = async (name: string): Promise<string[]> => {
    const path = join(executionDirectory(dataDirectory, id), 'work', name)
    return linesOf(await readFile(path, 'utf8').catch(() => ''))
  }
  const all = Array.from({ length: size }, (_, index) => index + 1)
  const files = [
    compare(await read('rows.csv'), ['x,y', ...all.map((x) => `${x},${2 * x}`)]),
    compare(
      await read('rows.jsonl'),
      all.map((x) => JSON.stringify({ x, z: 2 * x })),
    ),
    compare(await read('sum.csv'), ['sum', String(size * (size + 1))]),
  ]
  const lines = compare(
    // Commands print as well, whenever they run.
    linesOf(output).filter((line) => line.includes('did')),
    all.map((x) => `did ${x}`),
  )
  return {
    rowsLost: files.reduce((sum, { lost }) => sum + lost, 0),
    rowsDoubled: files.reduce((sum, { more }) => sum + more, 0),
    linesLost: lines.lost,
    linesDoubled: lines.more,
  }
}

/** `more` counts lines that are there a second time, and any that should not be there at all. */
function compare(found: readonly string[], expected: readonly string[]): { lost: number; more: number } {
  const seen = new Set(found)
  const lost = expected.filter((line) => !seen.has(line)).length
  return { lost, more: found.length - (expected.length - lost) }
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
