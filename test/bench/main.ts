/** What Molehill costs beside plain tools for the same work: `npm run bench -- --help`. Needs Linux. */
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { commands } from './commands.ts'
import { functions, million } from './functions.ts'
import type { Workload } from './measure.ts'
import { report, type Result, type Round } from './report.ts'
import { startServer, type BenchServer } from './server.ts'
import { upload } from './upload.ts'

type Prepare = (server: BenchServer, directory: string) => Workload | Promise<Workload>

const workloads = { commands, functions, upload, million } as const satisfies Record<string, Prepare>
const usual = ['commands', 'functions', 'upload'] as const

const help = `npm run bench -- [--rounds N] [--only NAME] [--profile DIRECTORY]

  --rounds N     how often each contender runs, in turn with the others (default 3)
  --only NAME    one of ${Object.keys(workloads).join(', ')}; default: ${usual.join(', ')}
  --profile DIR  write CPU profiles of the server there
`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(help)
else await bench(choose(values.only), Number(values.rounds), values.profile)

function choose(only: string | undefined): readonly Prepare[] {
  if (only === undefined) return usual.map((name) => workloads[name])
  const chosen: Prepare | undefined = Object.entries(workloads).find(([name]) => name === only)?.[1]
  if (chosen === undefined) throw new Error(`There is no workload ${only}.\n${help}`)
  return [chosen]
}

async function bench(chosen: readonly Prepare[], rounds: number, profile: string | undefined): Promise<void> {
  const [load] = loadavg()
  console.log(
    `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Linux, Node ${process.versions.node}, load ${load?.toFixed(1)}\n`,
  )
  for (const prepare of chosen) {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-bench-'))
    try {
      await using server = await startServer(profile)
      const workload = await prepare(server, directory)
      const done: Round[] = []
      for (let round = 0; round < rounds; round += 1) done.push(await runRound(workload))
      console.log(report(workload, done))
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** Every contender once, one after the other. */
async function runRound({ contenders, count, hasStart }: Workload): Promise<Round> {
  const results = new Map<string, Result>()
  for (const { name, run } of contenders) {
    const start = hasStart ? await run(1) : undefined
    results.set(name, { start, cost: await run(count) })
  }
  return results
}
