import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopFigures, type Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import { openDescriptors } from './processes.ts'
import { completedJobs } from './read-journal.ts'
import { packScript, startLife, TortureClient, type Ending, type Life } from './server.ts'
import { beginRequest, openIdle, startRequest } from './sockets.ts'
import { untilTrue } from './until.ts'

const openFiles = 256
const idleClients = 400
const slowUploads = 60
const size = 300
const floodMs = 8000
const within = ['prlimit', `--nofile=${openFiles}`]

/** Takes a server's descriptors away by idle clients and half uploads: what runs goes on, and it recovers. */
export async function torture(): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-descriptors-'))
  const dataDirectory = join(directory, 'data')
  const faults: string[] = []
  const endings: Ending[] = []
  const counts = { most: 0, during: 0, answered: 0, refused: 0, badAnswers: 0, recoveredMs: 0, dead: 0 }
  const rows = { rowsLost: 0, rowsDoubled: 0, linesLost: 0, linesDoubled: 0 }
  try {
    let life = await startLife(dataDirectory, { within })
    const client = new TortureClient()
    await client.login(life)
    const idle = openDescriptors(life.pid)
    const { json } = await client.start(life, packScript(fanScript(size, '', 0.02)))
    const id = String(json['id'])
    const request = await startRequest(client, packScript(fanScript(3)))
    const floods = [
      () => openIdle(life, idleClients),
      () =>
        Array.from({ length: slowUploads }, () => beginRequest(life, request, request.bytes.length - 100)),
    ]
    for (const flood of floods) {
      const before = completedJobs(dataDirectory, id).size
      const sockets = flood()
      const until = performance.now() + floodMs
      while (performance.now() < until && life.isAlive()) {
        counts.most = Math.max(counts.most, openDescriptors(life.pid))
        await ask(life, client, id, counts)
        await delay(200)
      }
      counts.during += completedJobs(dataDirectory, id).size - before
      for (const socket of sockets) socket.destroy()
      const gone = performance.now()
      await untilTrue(
        'the server answers again',
        async () => (await client.state(life, id).catch(() => undefined))?.status === 200,
        { forMs: 20_000 },
      )
      counts.recoveredMs = Math.max(counts.recoveredMs, performance.now() - gone)
    }
    if (/EMFILE|unable to open/.test(life.log())) faults.push(`the log tells of it: ${findLine(life.log())}`)
    openIdle(life, idleClients)
    await delay(500)
    endings.push(await life.end('SIGTERM'))

    life = await startLife(dataDirectory, { within })
    const isOver = async () => (await client.state(life, id)).json['state'] !== 'running'
    await untilTrue('it has ended', isOver, { forMs: 120_000 })
    const { json: output } = await client.post(life, 'output', { id })
    Object.assign(rows, await checkHookRows(dataDirectory, id, size, String(output['output'])))
    await untilTrue('descriptors are given back', () => openDescriptors(life.pid) <= idle + 8, {
      forMs: 30_000,
    })
    endings.push(await life.end('SIGTERM'))
  } catch (error) {
    faults.push(String(error))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return {
    title: `${idleClients} idle clients and ${slowUploads} half uploads at a server that may open ${openFiles} files`,
    figures: [
      { name: 'most descriptors open', value: counts.most, most: openFiles },
      { name: 'jobs completed and kept meanwhile', value: counts.during, least: 1 },
      { name: 'questions answered meanwhile', value: counts.answered },
      { name: 'questions refused meanwhile', value: counts.refused },
      { name: 'questions answered otherwise than with 200 or 503', value: counts.badAnswers, most: 0 },
      { name: 'clients gone to the first answer (ms)', value: Math.round(counts.recoveredMs), most: 10_000 },
      { name: 'rows and lines lost', value: rows.rowsLost + rows.linesLost, most: 0 },
      { name: 'rows and lines doubled', value: rows.rowsDoubled + rows.linesDoubled, most: 0 },
      ...stopFigures(endings),
    ],
    faults,
  }
}

async function ask(
  life: Life,
  client: TortureClient,
  id: string,
  counts: { answered: number; refused: number; badAnswers: number },
): Promise<void> {
  try {
    const { status } = await client.state(life, id)
    if (status === 200) counts.answered += 1
    else if (status === 503) counts.refused += 1
    else counts.badAnswers += 1
  } catch {
    counts.refused += 1
  }
}

function findLine(log: string): string {
  return log.split('\n').find((line) => /EMFILE|unable to open/.test(line)) ?? ''
}
