import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { measureCommand, type Cost, type Workload } from './measure.ts'
import { packScript } from './molehill.ts'
import { parallelism, type BenchServer } from './server.ts'

const noOp = '/bin/true'

/** Many processes that do nothing. All that is seen is what it costs to have them run. */
export async function commands(server: BenchServer, directory: string): Promise<Workload> {
  const makefile = (count: number) => join(directory, `${count}.mk`)
  const count = 1000
  for (const targets of [1, count]) await writeFile(makefile(targets), writeMakefile(targets))
  return {
    title: `${count} commands: ${noOp}`,
    unit: 'command',
    count,
    hasStart: true,
    yardstick: 'make',
    contenders: [
      { name: 'molehill', run: async (jobs) => runMolehill(server, jobs) },
      {
        name: 'make',
        run: async (targets) =>
          (await measureCommand(['make', '-s', `-j${parallelism}`, '-f', makefile(targets)], directory)).cost,
      },
      {
        name: 'xargs',
        run: async (words) =>
          (
            await measureCommand(
              ['xargs', '-n1', `-P${parallelism}`, noOp],
              directory,
              Array.from({ length: words }, (_, index) => `${index}\n`).join(''),
            )
          ).cost,
      },
    ],
  }
}

async function runMolehill({ molehill, measure }: BenchServer, jobs: number): Promise<Cost> {
  const archive = packScript(`
    import { commandTask, explore, integer, range } from 'molehill'
    const x = integer('x')
    const task = commandTask('task', { inputs: [x], command: ['${noOp}'] })
    export default explore(range(x, { from: 1, to: ${jobs} }), task)
  `)
  let id = ''
  const cost = await measure(async () => {
    id = await molehill.start(archive)
    const completed = await molehill.awaitEnd(id)
    if (completed !== jobs) throw new Error(`Expected ${jobs} completed jobs, got ${completed}.`)
  })
  await molehill.remove(id)
  return cost
}

function writeMakefile(targets: number): string {
  const names = Array.from({ length: targets }, (_, index) => `task${index}`)
  return `all: ${names.join(' ')}\n.PHONY: all ${names.join(' ')}\n${names.map((name) => `${name}:\n\t@${noOp}\n`).join('')}`
}
