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

/** Results a second of the published measurement: 8.8 million a day on one computer (Anderson and others, 2005). */
const publishedPerSecond = 102
const atATime = 32
/** Of the load at a rate: as many hosts as come at the same time. */
const mostConnections = 128
/** A server that has been running for a while has its code compiled. */
const warmUps = 2000

const help = `node test/bench/boinc.ts [--hosts N] [--requests N] [--rate N] [--paced N] [--profile DIR]

  --hosts N      hosts that the project knows (default 100000)
  --requests N   requests of as many hosts, ${atATime} at a time (default 20000)
  --rate N       requests a second of the second load (default 500)
  --paced N      requests of the second load (default 10000; 0 for none)
  --profile DIR  write CPU profiles of the server there

Each request reports a result and asks for work. ${warmUps} others go ahead and are not counted.
`

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '100000' },
    requests: { type: 'string', default: '20000' },
    rate: { type: 'string', default: '500' },
    paced: { type: 'string', default: '10000' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(help)
else await bench(Number(values.hosts), Number(values.requests), Number(values.rate), Number(values.paced))

async function bench(hosts: number, requests: number, rate: number, paced: number): Promise<void> {
  let bodies: readonly Buffer[] = []
  await using server = await startServer(values.profile, {
    flags: ['--volunteers', '--volunteer-url', 'http://molehill.example/', '--request-rate', '0'],
    async prepare(dataDirectory) {
      await mkdir(join(dataDirectory, 'volunteers'), { recursive: true, mode: 0o700 })
      await chmod(dataDirectory, 0o700)
      const keys = await openKeys(join(dataDirectory, 'volunteers', 'keys'))
      bodies = seedProject(join(dataDirectory, 'volunteers'), keys, {
        hosts,
        requests: warmUps + requests + paced,
      })
    },
  })
  const pool = new Pool(server.url, { connections: mostConnections })
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const ask = async (body: Buffer): Promise<void> => {
    const answer = await pool.request({ path: '/boinc/scheduler', method: 'POST', headers, body })
    const reply = await answer.body.text()
    if (!reply.includes('<result_ack>') || !reply.includes('<workunit>'))
      throw new Error(`A request was not answered with work:\n${reply}`)
  }
  let done = 0
  const load = async (name: string, count: number, perSecond: number): Promise<Measured> => {
    let latencies: Float64Array = new Float64Array()
    let answeredMs = 0
    const before = server.cpuByThread()
    const cost = await server.measure(async () => {
      const began = performance.now()
      latencies = await askAll(bodies.slice(done, done + count), perSecond, ask)
      answeredMs = performance.now() - began
      done += count
      await allAccepted(join(server.dataDirectory, 'volunteers'), done)
    })
    const threads = [...server.cpuByThread()].map(
      ([thread, cpuMs]) => [thread, cpuMs - (before.get(thread) ?? 0)] as const,
    )
    return { name, count, answeredMs, latencies, cost, threads }
  }
  try {
    await load('warm-up', warmUps, 0)
    const loads = [await load(`${atATime} at a time`, requests, 0)]
    if (paced > 0) loads.push(await load(`${rate} a second`, paced, rate))
    report(hosts, loads)
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
  readonly name: string
  readonly count: number
  readonly answeredMs: number
  readonly latencies: Float64Array
  /** Of the server, until every result had been read and counted. */
  readonly cost: Cost
  /** CPU milliseconds of the server's threads. */
  readonly threads: readonly (readonly [string, number])[]
}

function report(hosts: number, loads: readonly Measured[]): void {
  const [load = 0] = loadavg()
  const perRequest = (cpuMs: number, { count }: Measured): string => ((cpuMs / count) * 1000).toFixed(0)
  const threads = [...new Set(loads.flatMap((measured) => measured.threads.map(([thread]) => thread)))]
  const threadRows = threads
    .map((thread) => ({
      'CPU µs a request, by thread': thread,
      ...Object.fromEntries(
        loads.map((measured) => [
          measured.name,
          perRequest(measured.threads.find(([name]) => name === thread)?.[1] ?? 0, measured),
        ]),
      ),
    }))
    .filter((row) => Object.values(row).some((cell) => Number(cell) > 0))
  console.log(
    [
      `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Linux, Node ${process.versions.node}, load ${load.toFixed(1)}`,
      `Each request reports a result and gets work; ${hosts} hosts are known.\n`,
      ...table(loads.map((measured) => cellsOf(measured, perRequest))),
      '',
      ...table(threadRows),
      '',
    ].join('\n'),
  )
}

function cellsOf(
  measured: Measured,
  perRequest: (cpuMs: number, measured: Measured) => string,
): Readonly<Record<string, string>> {
  const { name, count, answeredMs, latencies, cost } = measured
  const sorted = latencies.toSorted()
  const share = (part: number): string => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(1)
  const perSecond = (count / answeredMs) * 1000
  return {
    load: name,
    requests: String(count),
    'requests/s': perSecond.toFixed(0),
    [`÷ ${publishedPerSecond}/s`]: (perSecond / publishedPerSecond).toFixed(1),
    'counted/s': ((count / cost.wallMs) * 1000).toFixed(0),
    'p50 ms': share(0.5),
    'p99 ms': share(0.99),
    'p99.9 ms': share(0.999),
    'most ms': share(1),
    'CPU µs a request': perRequest(cost.cpuMs, measured),
    'server MB': ((cost.memoryBytes ?? 0) / 1e6).toFixed(0),
    'cores used by others': cost.othersCores.toFixed(1),
  }
}

function table(rows: readonly Readonly<Record<string, string>>[]): string[] {
  const [first = {}] = rows
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const names = Object.keys(first)
  return [
    line(names),
    line(names.map((_, at) => (at === 0 ? '---' : '---:'))),
    ...rows.map((row) => line(Object.values(row))),
  ]
}
