import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopFigures, type Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import { functionRuns } from './read-journal.ts'
import { executionDirectory, packScript, startLife, TortureClient, type Ending, type Life } from './server.ts'
import { untilTrue } from './until.ts'

const size = 60
const retryDelayMs = 3000
const endMs = 90_000
const dayMs = 86_400_000
/** Where the clock goes, one after the other, in the words of libfaketime. */
const jumps = ['+1d', '+0', '-1d', '+0', '+1d', '-1d'] as const
const times = { '--token-lifetime': '10d', '--retention': '10d', '--housekeeping-interval': '1s' }
const flags = [...Object.entries(times).flat(), '--max-executions', '50']

/** Fails once, and keeps account of when it ran by a clock that does not jump. */
const retryScript = `
  import { functionTask } from 'molehill'
  import { appendFileSync, existsSync } from 'node:fs'
  export default functionTask('again', {
    run() {
      const isSecond = existsSync('times.log')
      appendFileSync('times.log', process.hrtime.bigint() / 1_000_000n + '\\n')
      if (!isSecond) throw new Error('not yet')
      return {}
    },
  }).retry({ limit: 2, delayMs: ${retryDelayMs}, factor: 1 })
`
/** Takes half as long as it may. */
const timedScript = `
  import { commandTask, shell } from 'molehill'
  export default commandTask('timed', { command: shell\`echo x >> runs.log; sleep 4\` }).timeoutMs(20_000)
`

interface Counts {
  /** Jumps after which the server's log tells the time as it should. */
  seen: number
  refusedTokens: number
  endless: number
  badEnds: number
  ranTwice: number
  rowsWrong: number
  removed: number
  earlyRetries: number
  lateRetries: number
}

/** Lets the server's clock jump by a day while workflows run. Needs libfaketime (Debian: faketime). */
export async function torture(): Promise<Report> {
  const title = `the clock jumps ${jumps.length} times by a day and more`
  const library = findLibrary()
  if (library === undefined)
    return { title: `${title}: skipped, as there is no libfaketime`, figures: [], faults: [] }
  const directory = await mkdtemp(join(tmpdir(), 'molehill-clock-'))
  const clock = join(directory, 'clock')
  const dataDirectory = join(directory, 'data')
  const environment = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  const faults: string[] = []
  const endings: Ending[] = []
  const counts: Counts = {
    seen: 0,
    refusedTokens: 0,
    endless: 0,
    badEnds: 0,
    ranTwice: 0,
    rowsWrong: 0,
    removed: 0,
    earlyRetries: 0,
    lateRetries: 0,
  }
  const all: string[] = []
  try {
    await writeFile(clock, '+0')
    let life = await startLife(dataDirectory, { flags, environment })
    const trial: Omit<Trial, 'isRestarted'> = {
      dataDirectory,
      counts,
      fault: (what: string) => void faults.push(what),
    }
    const clients = [new TortureClient()]
    for (const client of clients) await client.login(life)
    for (const [index, jump] of jumps.entries()) {
      const client = clients[0] ?? new TortureClient()
      const scripts = { fan: fanScript(size), retry: retryScript, timed: timedScript }
      const ids: Record<string, string> = {}
      for (const [kind, script] of Object.entries(scripts)) {
        const { json, text } = await client.start(life, packScript(script))
        const { id } = json
        if (typeof id !== 'string') throw new Error(`/start answered ${text}`)
        ids[kind] = id
      }
      await delay(1000)
      await writeFile(clock, jump)
      // The library looks at the file once a second.
      await delay(1500)
      const isRestarted = index === 2 || index === jumps.length - 1
      if (isRestarted) {
        endings.push(await life.end('SIGTERM'))
        life = await startLife(dataDirectory, { flags, environment })
      }
      for (const each of clients)
        if ((await each.state(life, ids['fan'] ?? '')).status !== 200) counts.refusedTokens += 1
      if (await seesJump(life, client, Number.parseInt(jump))) counts.seen += 1
      const other = new TortureClient()
      await other.login(life)
      clients.push(other)
      await check(life, client, ids, { ...trial, isRestarted })
      all.push(...Object.values(ids))
    }
    const { json } = await (clients.at(-1) ?? new TortureClient()).post(life, 'list')
    const known = new Set((json as unknown as { id: string }[]).map(({ id }) => id))
    counts.removed = all.filter((id) => !known.has(id)).length
    endings.push(await life.end('SIGTERM'))
  } catch (error) {
    faults.push(String(error))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return {
    title,
    figures: [
      { name: 'executions', value: all.length, least: 3 * jumps.length },
      { name: 'jumps that the server saw', value: counts.seen, least: jumps.length },
      { name: 'executions that never end', value: counts.endless, most: 0 },
      { name: 'executions that end otherwise than they should', value: counts.badEnds, most: 0 },
      { name: 'tasks run twice', value: counts.ranTwice, most: 0 },
      { name: 'rows and lines lost or doubled', value: counts.rowsWrong, most: 0 },
      { name: 'retries before their time', value: counts.earlyRetries, most: 0 },
      { name: 'retries more than a minute late', value: counts.lateRetries, most: 0 },
      { name: 'tokens that expired early', value: counts.refusedTokens, most: 0 },
      { name: 'executions removed early', value: counts.removed, most: 0 },
      ...stopFigures(endings),
    ],
    faults,
  }
}

interface Trial {
  readonly dataDirectory: string
  readonly counts: Counts
  /** What was in flight at a restart runs again, and what waited for its retry runs at once. */
  readonly isRestarted: boolean
  readonly fault: (what: string) => void
}

async function check(
  life: Life,
  client: TortureClient,
  ids: Readonly<Record<string, string>>,
  { dataDirectory, counts, isRestarted, fault }: Trial,
): Promise<void> {
  for (const [kind, id] of Object.entries(ids)) {
    const state = async () => client.state(life, id)
    try {
      await untilTrue(`${kind} ends`, async () => (await state()).json['state'] !== 'running', {
        forMs: endMs,
      })
    } catch (error) {
      counts.endless += 1
      fault(`${String(error)} ${(await state()).text.slice(0, 500)}`)
      continue
    }
    const { json, text } = await state()
    if (json['state'] !== 'finished') {
      counts.badEnds += 1
      fault(`${kind}: ${text.slice(0, 500)}`)
      continue
    }
    const work = join(executionDirectory(dataDirectory, id), 'work')
    if (kind === 'fan') {
      const { json: output } = await client.post(life, 'output', { id })
      const rows = await checkHookRows(dataDirectory, id, size, String(output['output']))
      counts.rowsWrong += Object.values(rows).reduce((sum: number, wrong: number) => sum + wrong, 0)
    }
    if (kind === 'retry') {
      const [first = 0, second = 0, ...more] = (await readFile(join(work, 'times.log'), 'utf8'))
        .trim()
        .split('\n')
        .map(Number)
      counts.ranTwice += more.length
      if (second - first < retryDelayMs && !isRestarted) counts.earlyRetries += 1
      if (second - first > retryDelayMs + 60_000) counts.lateRetries += 1
    }
    for (const times of functionRuns(dataDirectory, id).values())
      if (times > 1 && !isRestarted) {
        counts.ranTwice += times - 1
        fault(`${kind}: a task ran ${times} times`)
      }
  }
}

/** Whether the last line of the server's log, of a question that it answers, soon comes so many days ahead. */
async function seesJump(life: Life, client: TortureClient, days: number): Promise<boolean> {
  const offsetMs = async (): Promise<number> => {
    await client.post(life, 'list')
    const times = [...life.log().matchAll(/"time":"([^"]+)"/g)].map(([, time]) => Date.parse(time ?? ''))
    return (times.at(-1) ?? 0) - Date.now()
  }
  const isSeen = async (): Promise<boolean> => Math.round((await offsetMs()) / dayMs) === days
  return untilTrue('the log tells the new time', isSeen, { forMs: 10_000, everyMs: 200 }).then(
    () => true,
    () => false,
  )
}

function findLibrary(): string | undefined {
  const root = '/usr/lib'
  const folders = readdirSync(root, { withFileTypes: true }).filter((each) => each.isDirectory())
  return folders
    .map(({ name }) => join(root, name, 'faketime', 'libfaketimeMT.so.1'))
    .find((path) => existsSync(path))
}
