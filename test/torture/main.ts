/** Kills and starves a real server and counts what it loses: `npm run torture -- --help`. Needs Linux. */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { isGood, showReport, type Report } from './figures.ts'
import { torture as clients } from './clients.ts'
import { torture as disk } from './disk.ts'
import { torture as kills } from './kills.ts'
import { torture as tasks } from './tasks.ts'
import { torture as torn } from './torn.ts'

interface Options {
  readonly kills: number
  readonly points: number
  readonly seed: number
}

const kinds = { kills, torn, disk, tasks, clients } as const satisfies Record<
  string,
  (options: Options) => Promise<Report>
>

const help = `npm run torture -- [--kills N] [--points N] [--seed N] [--only ${Object.keys(kinds).join('|')}]

  --kills N   how often the server is killed (default 50)
  --points N  at how many places the last transaction is cut (default 100)
  --seed N    chooses the moments (default 1)
  --only KIND one kind alone
`

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    points: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

// Servers are ended when this process exits, which a signal by itself would not let it do.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

if (values.help) process.stdout.write(help)
else await run()

async function run(): Promise<void> {
  const chosen = Object.entries(kinds).filter(([name]) => values.only === undefined || name === values.only)
  if (chosen.length === 0) throw new Error(`There is no kind ${values.only}.\n${help}`)
  const [load] = loadavg()
  console.log(`${cpus().length} cores, Linux, Node ${process.versions.node}, load ${load?.toFixed(1)}\n`)
  const options = {
    kills: readCount('kills', values.kills),
    points: readCount('points', values.points),
    seed: readCount('seed', values.seed),
  }
  for (const [, torture] of chosen) {
    const report = await torture(options)
    console.log(`${showReport(report)}\n`)
    if (!isGood(report)) process.exitCode = 1
  }
}

function readCount(name: string, text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 0) return count
  throw new Error(`Expected a whole number for --${name}, got ${JSON.stringify(text)}.`)
}
