import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findDamageAt } from '../../src/store/checksum.ts'
import { stopFigures, type Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import { executionDirectory, packScript, startLife, TortureClient, type Ending, type Life } from './server.ts'
import { untilTrue } from './until.ts'

const diskBytes = 48 * 2 ** 20
const size = 250
/** How much is left when the disk is as good as full: each hits another write. */
const freeKibibytes = [0, 16, 64, 160, 400, 1024]
const fullMs = 3000
/** A command that cannot write its output fails by itself: it has to be tried again until there is space. */
const retry = '.retry({ limit: 100, delayMs: 500, factor: 1 })'
/** What an execution that could not wait may say. */
const tellsWhy = /space|ENOSPC|disk|full/i

interface Counts {
  dead: number
  silentStarts: number
  refusals: number
  waited: number
  failed: number
  unexplained: number
  endless: number
  rowsWrong: number
  damaged: number
  notServing: number
  readonly endings: Ending[]
  readonly faults: string[]
}

/** Fills the disk under a running server, and frees it again. Needs root, for a small disk of its own. */
export async function torture(): Promise<Report> {
  const title = `a full disk, ${freeKibibytes.length} sizes`
  if (process.getuid?.() !== 0)
    return { title: `${title}: skipped, as only root may mount a small disk`, figures: [], faults: [] }
  const directory = await mkdtemp(join(tmpdir(), 'molehill-disk-'))
  const counts: Counts = {
    dead: 0,
    silentStarts: 0,
    refusals: 0,
    waited: 0,
    failed: 0,
    unexplained: 0,
    endless: 0,
    rowsWrong: 0,
    damaged: 0,
    notServing: 0,
    endings: [],
    faults: [],
  }
  try {
    for (const free of freeKibibytes) await onSmallDisk(directory, free, counts)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return {
    title,
    figures: [
      { name: 'servers that did not outlive it', value: counts.dead, most: 0 },
      { name: 'states not answered while full', value: counts.notServing, most: 0 },
      { name: 'new starts answered with 507', value: counts.refusals, least: 1 },
      { name: 'new starts answered otherwise and not taken', value: counts.silentStarts, most: 0 },
      { name: 'executions that waited and then finished', value: counts.waited },
      { name: 'executions that failed and said why', value: counts.failed },
      { name: 'executions that failed for another reason', value: counts.unexplained, most: 0 },
      { name: 'executions that never end', value: counts.endless, most: 0 },
      { name: 'rows of hooks lost or doubled', value: counts.rowsWrong, most: 0 },
      { name: 'damaged databases', value: counts.damaged, most: 0 },
      ...stopFigures(counts.endings),
    ],
    faults: counts.faults,
  }
}

async function onSmallDisk(directory: string, free: number, counts: Counts): Promise<void> {
  const mountPoint = join(directory, `disk-${free}`)
  await mkdir(mountPoint)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'none', mountPoint])
  try {
    const dataDirectory = join(mountPoint, 'data')
    const start = async () => startLife(dataDirectory, { flags: ['--disk-reserve', '0'] })
    let life = await start()
    try {
      const trial = { dataDirectory, mountPoint, free, counts }
      const id = await fillUp(life, trial)
      // Every other server is asked to stop while its disk is full; the next one goes on when there is space.
      const isStopped = freeKibibytes.indexOf(free) % 2 === 1
      if (isStopped) counts.endings.push(await life.end('SIGTERM'))
      await rm(join(mountPoint, 'ballast'))
      if (isStopped) life = await start()
      await goOn(life, id, trial)
    } finally {
      await life.end('SIGTERM')
    }
  } finally {
    execFileSync('umount', ['--lazy', mountPoint])
  }
}

interface Trial {
  readonly dataDirectory: string
  readonly mountPoint: string
  readonly free: number
  readonly counts: Counts
}

/** Runs an execution into a full disk and asks the server meanwhile. Gives the execution's id. */
async function fillUp(life: Life, trial: Trial): Promise<string> {
  const { mountPoint, free, counts } = trial
  const fault = (what: string): void => tell(trial, what)
  const client = new TortureClient()
  await client.login(life)
  const { json, text } = await client.start(life, packScript(fanScript(size, retry)))
  const id = String(json['id'])
  const state = async () => client.state(life, id)
  await untilTrue('it runs', async () => Number((await state()).json['completed']) > 20, {
    forMs: 60_000,
  }).catch((error: unknown) => fault(`${String(error)} ${text}`))

  const ballast = join(mountPoint, 'ballast')
  await fill(ballast, free * 1024)
  const full = performance.now()
  const { status, text: refusal } = await client.start(life, packScript(fanScript(3)))
  if (status === 507) counts.refusals += 1
  else if (status !== 200) {
    counts.silentStarts += 1
    fault(`a start was answered with ${status}: ${refusal}`)
  }
  while (performance.now() - full < fullMs && life.isAlive()) {
    const answer = await state().catch((error: unknown) => ({ status: 0, text: String(error) }))
    if (answer.status !== 200) {
      counts.notServing += 1
      fault(`/state was answered with ${answer.status}: ${answer.text}`)
    }
    await delay(200)
  }
  return id
}

/** There is space again: the execution ends, and a new one can be started. */
async function goOn(life: Life, id: string, trial: Trial): Promise<void> {
  const { dataDirectory, counts } = trial
  const fault = (what: string): void => tell(trial, what)
  if (!life.isAlive()) {
    counts.dead += 1
    fault(`the server is gone: ${life.log().slice(-2000)}`)
    return
  }
  const client = new TortureClient()
  await client.login(life)
  await checkEnd(life, client, id, { dataDirectory, counts, fault })
  const again = await client.start(life, packScript(fanScript(3)))
  if (again.status !== 200) {
    counts.silentStarts += 1
    fault(`with space again, a start was answered with ${again.status}: ${again.text}`)
  } else
    await untilTrue(
      'a new execution ends',
      async () => (await client.state(life, String(again.json['id']))).json['state'] !== 'running',
      { forMs: 60_000 },
    )
}

function tell({ free, counts }: Trial, what: string): void {
  counts.faults.push(`${free} KiB free: ${what}`)
}

async function checkEnd(
  life: Life,
  client: TortureClient,
  id: string,
  { dataDirectory, counts, fault }: { dataDirectory: string; counts: Counts; fault: (what: string) => void },
): Promise<void> {
  try {
    await untilTrue('it has ended', async () => (await client.state(life, id)).json['state'] !== 'running', {
      forMs: 60_000,
    })
  } catch {
    counts.endless += 1
    fault(`it never ended: ${(await client.state(life, id)).text}`)
    return
  }
  const { json, text } = await client.state(life, id)
  if (json['state'] === 'finished') {
    counts.waited += 1
    const rows = await checkHookRows(dataDirectory, id, size, '')
    counts.rowsWrong += rows.rowsLost + rows.rowsDoubled
    if (rows.rowsLost + rows.rowsDoubled > 0) fault(JSON.stringify(rows))
  } else if (tellsWhy.test(JSON.stringify(json['error']))) counts.failed += 1
  else {
    counts.unexplained += 1
    fault(text.slice(0, 1000))
  }
  for (const path of [
    join(executionDirectory(dataDirectory, id), 'journal.db'),
    join(dataDirectory, 'molehill.db'),
  ]) {
    const damage = findDamageAt(path)
    if (damage === undefined) continue
    counts.damaged += 1
    fault(`${path}: ${damage}`)
  }
}

/** Writes a file that leaves no more than this much on its disk. */
async function fill(path: string, leftBytes: number): Promise<void> {
  const handle = await open(path, 'w')
  const block = Buffer.alloc(4096)
  try {
    for (;;) {
      const { bavail, bsize } = await statfs(path)
      const blocks = Math.ceil((bavail * bsize - leftBytes) / block.length)
      if (blocks <= 0) return
      await handle.write(blocks > 256 ? Buffer.alloc(2 ** 20) : block)
    }
  } catch (error) {
    // The server has taken the rest in the meantime.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  } finally {
    await handle.close()
  }
}
