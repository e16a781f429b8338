import { fileURLToPath } from 'node:url'
import { measureCommand, type Cost, type Workload } from './measure.ts'
import { packScript } from './molehill.ts'
import { parallelism, type BenchServer } from './server.ts'

const piscinaPeer = fileURLToPath(new URL('./piscina-peer.ts', import.meta.url))

/** Many calls of a function that does next to nothing, and a sum of all they returned. */
export function functions(server: BenchServer, directory: string): Workload {
  const count = 100_000
  const piscina = async (calls: number, perRun: number): Promise<Cost> => {
    const words = [process.execPath, piscinaPeer, String(calls), String(perRun), String(parallelism)]
    const { cost, printed } = await measureCommand(words, directory)
    checkSum(printed, calls)
    return cost
  }
  return {
    title: `${count} functions: x -> 2x + 1, then their sum`,
    unit: 'function',
    count,
    hasStart: true,
    yardstick: 'piscina, one a run',
    contenders: [
      { name: 'molehill', run: async (calls) => runFunctions(server, calls) },
      { name: 'piscina, one a run', run: async (calls) => piscina(calls, 1) },
      { name: 'piscina, 100 a run', run: async (calls) => piscina(calls, 100) },
    ],
  }
}

/** So many that none of them can be held at once. */
export function million(server: BenchServer): Workload {
  const count = 1_000_000
  return {
    title: `${count} functions: x -> 2x + 1, then their sum`,
    unit: 'function',
    count,
    hasStart: false,
    yardstick: 'molehill',
    contenders: [{ name: 'molehill', run: async (calls) => runFunctions(server, calls) }],
  }
}

async function runFunctions({ molehill, measure }: BenchServer, calls: number): Promise<Cost> {
  const archive = packScript(`
    import { display, explore, functionTask, integer, range, text } from 'molehill'
    const x = integer('x'), y = integer('y'), sum = integer('sum')
    const double = functionTask('double', { inputs: [x], outputs: [y], run: ({ x }) => ({ y: 2 * x + 1 }) })
    const add = functionTask('add', {
      inputs: [y.array], outputs: [sum], run: ({ y }) => ({ sum: y.reduce((a, b) => a + b, 0) }),
    })
    export default explore(range(x, { from: 1, to: ${calls} }), double).aggregate(add.hook(display(text\`\${sum}\`)))
  `)
  let id = ''
  const cost = await measure(async () => {
    id = await molehill.start(archive)
    const completed = await molehill.awaitEnd(id)
    if (completed !== calls + 1) throw new Error(`Expected ${calls + 1} completed jobs, got ${completed}.`)
  })
  checkSum(await molehill.output(id), calls)
  await molehill.remove(id)
  return cost
}

function checkSum(printed: string, calls: number): void {
  const expected = calls * (calls + 2)
  if (Number(printed) !== expected) throw new Error(`Expected the sum ${expected}, got ${printed}.`)
}
