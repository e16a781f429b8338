/** Kills and starves a real server and counts what it loses: `npm run torture -- --help`. Needs Linux. */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { isGood, showReport, type Report } from './figures.ts'
import { torture as clients } from './clients.ts'
import { torture as clock } from './clock.ts'
import { torture as descriptors } from './descriptors.ts'
import { torture as disk } from './disk.ts'
import { torture as kills } from './kills.ts'
import { torture as power } from './power.ts'
import { torture as tasks } from './tasks.ts'
import { torture as torn } from './torn.ts'

interface Options {
  readonly kills: number
  readonly mostMs: number
  readonly points: number
  readonly cuts: number
  readonly flips: number
  readonly powerCuts: number
  readonly seed: number
}

const kinds = { kills, torn, power, disk, descriptors, tasks, clients, clock } as const satisfies Record<
  string,
  (options: Options) => Promise<Report>
>

const help = `npm run torture -- [KIND ...] [--kills N] [--minutes N] [--points N] [--cuts N] [--flips N] [--power-cuts N] [--seed N]

  KIND        ${Object.keys(kinds).join(', ')} (default: all)
  --kills N   how often the server is killed (default 200)
  --minutes N after so long no further kill begins (default 600)
  --points N  at how many cuts of the last transaction a whole engine goes on (default 50)
  --cuts N    at how many places it is cut (default every byte)
  --flips N   how many bytes are flipped (default 1000)
  --power-cuts N  how often the power is cut (default 20)
  --seed N    chooses the moments (default 1)
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '200' },
    minutes: { type: 'string', default: '600' },
    points: { type: 'string', default: '50' },
    cuts: { type: 'string', default: '1000000' },
    flips: { type: 'string', default: '1000' },
    'power-cuts': { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})

// Servers are ended when this process exits, which a signal by itself would not let it do.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

if (values.help) process.stdout.write(help)
else await run()

async function run(): Promise<void> {
  const unknown = positionals.filter((kind) => !Object.hasOwn(kinds, kind))
  if (unknown.length > 0) throw new Error(`There is no kind ${unknown.join(', ')}.\n\n${help}`)
  const chosen = Object.entries(kinds).filter(
    ([name]) => positionals.length === 0 || positionals.includes(name),
  )
  const [load] = loadavg()
  console.log(`${cpus().length} cores, Linux, Node ${process.versions.node}, load ${load?.toFixed(1)}\n`)
  const options = {
    kills: readCount('kills', values.kills),
    mostMs: readCount('minutes', values.minutes) * 60_000,
    points: readCount('points', values.points),
    cuts: readCount('cuts', values.cuts),
    flips: readCount('flips', values.flips),
    powerCuts: readCount('power-cuts', values['power-cuts']),
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
