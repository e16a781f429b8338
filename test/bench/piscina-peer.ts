/**
 * The functions workload with nothing but piscina: no journal, no ids, no states.
 * Arguments: how many calls, how many of them in one `run`, how many threads.
 */
import { Piscina } from 'piscina'

const [calls = 0, perRun = 1, threads = 1] = process.argv.slice(2).map(Number)
const pool = new Piscina<readonly number[], readonly number[]>({
  filename: new URL('./piscina-worker.ts', import.meta.url).href,
  minThreads: threads,
  maxThreads: threads,
})
pool.on('error', (error) => {
  throw error
})
const runs: Promise<readonly number[]>[] = []
for (let first = 1; first <= calls; first += perRun) {
  const length = Math.min(perRun, calls + 1 - first)
  runs.push(pool.run(Array.from({ length }, (_, index) => first + index)))
}
const results = (await Promise.all(runs)).flat()
console.log(results.reduce((sum, each) => sum + each, 0))
await pool.destroy()
