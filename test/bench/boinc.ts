/**
 * How many scheduler requests with work a server answers over HTTP: `node test/bench/boinc.ts --help`. The hosts are fakes
 * that say what real clients were seen to say, and whose files have come. Needs Linux.
 */
import { chmod, mkdir } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Pool } from 'undici'
import { openKeys } from '../../src/volunteers/keys.ts'
import { seedProject } from './boinc-seed.ts'
import type { Cost } from './measure.ts'
import { startServer } from './server.ts'

const help = `node test/bench/boinc.ts [--hosts N] [--requests N] [--rate N] [--profile DIR]

  --hosts N      hosts that the project knows (default 100000)
  --requests N   requests of as many hosts, each reports a result and asks for work (default 20000)
  --rate N       requests a second; 0 for as many as are answered, 32 at a time (default 0)
  --profile DIR  write CPU profiles of the server there
`

/** Results a second of the published measurement: 8.8 million a day on one computer (Anderson and others, 2005). */
const publishedPerSecond = 102
const atATime = 32

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '100000' },
    requests: { type: 'string', default: '20000' },
    rate: { type: 'string', default: '0' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(help)
else await bench(Number(values.hosts), Number(values.requests), Number(values.rate))

async function bench(hosts: number, requests: number, rate: number): Promise<void> {
  let bodies: readonly Buffer[] = []
  await using server = await startServer(values.profile, {
    flags: ['--volunteers', '--volunteer-url', 'http://molehill.example/', '--request-rate', '0'],
    async prepare(dataDirectory) {
      await mkdir(join(dataDirectory, 'volunteers'), { recursive: true, mode: 0o700 })
      await chmod(dataDirectory, 0o700)
      const keys = await openKeys(join(dataDirectory, 'volunteers', 'keys'))
      bodies = seedProject(join(dataDirectory, 'volunteers'), keys, { hosts, requests })
    },
  })
  const pool = new Pool(server.url, { connections: atATime })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  let latencies: Float64Array = new Float64Array()
  let answeredMs = 0
  try {
    const cost = await server.measure(async () => {
      const began = performance.now()
      latencies = await askAll(bodies, rate, async (body) => {
        const answer = await pool.request({ path: '/boinc/scheduler', method: 'POST', headers, body })
        const reply = await answer.body.text()
        if (!reply.includes('<result_ack>') || !reply.includes('<workunit>'))
          throw new Error(`A request was not answered with work:\n${reply}`)
      })
      answeredMs = performance.now() - began
      await allAccepted(join(server.dataDirectory, 'volunteers'), requests)
    })
    report({ requests, hosts, answeredMs, latencies, cost })
  } finally {
    await pool.close()
  }
}

/** Asks all, at a rate or so many at a time. Gives the milliseconds that each answer took. */
async function askAll(
  bodies: readonly Buffer[],
  rate: number,
  ask: (body: Buffer) => Promise<void>,
): Promise<Float64Array> {
  const latencies = new Float64Array(bodies.length)
  const timed = async (at: number, from: number): Promise<void> => {
    await ask(bodies[at] ?? Buffer.alloc(0))
    latencies[at] = performance.now() - from
  }
  let next = 0
  if (rate === 0) {
    const work = async (): Promise<void> => {
      while (next < bodies.length) {
        next += 1
        await timed(next - 1, performance.now())
      }
    }
    await Promise.all(Array.from({ length: atATime }, work))
    return latencies
  }
  const began = performance.now()
  const all: Promise<void>[] = []
  while (next < bodies.length) {
    const due = Math.min(bodies.length, Math.ceil(((performance.now() - began) * rate) / 1000))
    // From when it was due, not from when there was time to send it.
    for (; next < due; next += 1) all.push(timed(next, began + (next * 1000) / rate))
    await delay(1)
  }
  await Promise.all(all)
  return latencies
}

/** Waits until every result that was reported has been read and counted, and looks without troubling the project. */
async function allAccepted(directory: string, requests: number): Promise<void> {
  using database = new DatabaseSync(join(directory, 'project.db'), { readOnly: true })
  const accepted = database.prepare(`SELECT count(*) AS count FROM workunits WHERE kind = 'accepted'`)
  while (Number(accepted.get()?.['count']) < requests) await delay(100)
}

interface Measured {
  readonly requests: number
  readonly hosts: number
  readonly answeredMs: number
  readonly latencies: Float64Array
  /** Of the server, until every result had been read and counted. */
  readonly cost: Cost
}

function report({ requests, hosts, answeredMs, latencies, cost }: Measured): void {
  const sorted = latencies.toSorted()
  const share = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(1)
  const perSecond = (requests / answeredMs) * 1000
  const cells = {
    'requests/s': perSecond.toFixed(0),
    [`÷ ${publishedPerSecond}/s`]: (perSecond / publishedPerSecond).toFixed(1),
    'counted/s': ((requests / cost.wallMs) * 1000).toFixed(0),
    'p50 ms': share(0.5),
    'p99 ms': share(0.99),
    'most ms': share(1),
    'CPU µs a request': ((cost.cpuMs / requests) * 1000).toFixed(0),
    'server MB': ((cost.memoryBytes ?? 0) / 1e6).toFixed(0),
    'cores used by others': cost.othersCores.toFixed(1),
  }
  const [load = 0] = loadavg()
  console.log(
    [
      `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Linux, Node ${process.versions.node}, load ${load.toFixed(1)}`,
      `${requests} requests, each reports a result and gets work, of ${hosts} known hosts\n`,
      `| ${Object.keys(cells).join(' | ')} |`,
      `| ${Object.keys(cells)
        .map(() => '---:')
        .join(' | ')} |`,
      `| ${Object.values(cells).join(' | ')} |\n`,
    ].join('\n'),
  )
}
