import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stopFigures, type Report } from './figures.ts'
import { commandLineOf, openDescriptors, processTree, residentBytes, stillAlive } from './processes.ts'
import { packScript, startLife, TortureClient, type Ending, type Life } from './server.ts'
import { untilTrue } from './until.ts'

interface BadTask {
  readonly name: string
  readonly script: string
  /** How it must end, and what its error must say. Undefined where it may finish. */
  readonly says: RegExp | undefined
  readonly withinMs: number
}

const imports = `import { commandTask, display, functionTask, shell, text, integer } from 'molehill'\n`
const functionScript = (body: string, more = ''): string =>
  `${imports}export default functionTask('bad', { async run() { ${body} } })${more}`
const commandScript = (command: string, more = ''): string =>
  `${imports}export default commandTask('bad', { command: shell\`${command}\` })${more}`

const badTasks: readonly BadTask[] = [
  {
    name: 'a function that allocates objects without end',
    script: functionScript(
      `const kept: unknown[] = []; for (;;) kept.push(new Array(1000).fill(kept.length))`,
    ),
    says: /memory/i,
    withinMs: 90_000,
  },
  {
    name: 'a function that allocates buffers without end',
    script: functionScript(
      `const kept: Buffer[] = []; for (;;) kept.push(Buffer.alloc(2 ** 24, 1))`,
      `.timeoutMs(30_000)`,
    ),
    says: /memory|time|allocat|ended|limit/i,
    withinMs: 90_000,
  },
  {
    name: 'a command that ignores SIGTERM at its time-out',
    script: commandScript(`trap "" TERM; while true; do sleep 1; done`, `.timeoutMs(1000)`),
    says: /1000 ms|time|second/i,
    withinMs: 40_000,
  },
  {
    name: 'a command that forks twice and runs away',
    script: commandScript(
      `setsid sh -c "echo > left; sleep 971 & sleep 972" > /dev/null 2>&1 & until [ -e left ]; do sleep 0.1; done; sleep 1; exit 3`,
    ),
    says: /exit code 3/,
    withinMs: 30_000,
  },
  {
    name: 'a command that prints a gigabyte',
    script: commandScript(`head -c 1000000000 /dev/zero | tr "\\\\0" x; exit 4`),
    says: /--task-output/,
    withinMs: 90_000,
  },
  {
    name: 'a command that writes a gigabyte',
    script: commandScript(`head -c 1000000000 /dev/zero > large.bin; exit 5`),
    says: /--task-file-size/,
    withinMs: 90_000,
  },
  {
    // Not without any bound, as the limit of processes does not hold for a server that root runs.
    name: 'a command that forks a thousand times',
    script: commandScript(
      `n=0; while [ $n -lt 1000 ]; do setsid sleep 973 & n=$((n + 1)); done; echo all > all; exit 6`,
    ),
    says: /--task-processes|exit code 6/,
    withinMs: 90_000,
  },
  {
    name: 'a function that ends its worker thread',
    script: functionScript(`
      const { isMainThread } = await import('node:worker_threads')
      if (isMainThread) throw new Error('this is no worker thread')
      process.reallyExit(9)`),
    says: /exit|ended|process|thread/i,
    withinMs: 60_000,
  },
  {
    name: 'a function that prints a hundred megabytes',
    script: functionScript(
      `for (let i = 0; i < 100; i += 1) process.stdout.write('x'.repeat(1e6)); throw new Error('done')`,
    ),
    says: /done/,
    withinMs: 60_000,
  },
  {
    name: 'a function that never ends',
    script: functionScript(`for (;;) continue`, `.timeoutMs(1000)`),
    says: /1000 ms|time|second/i,
    withinMs: 30_000,
  },
  {
    name: 'a function that waits for what never comes',
    script: functionScript(`await new Promise(() => setInterval(() => undefined, 1000))`, `.timeoutMs(1000)`),
    says: /1000 ms|time|second/i,
    withinMs: 30_000,
  },
  {
    name: 'a function that exits',
    script: functionScript(`process.exit(7)`),
    says: /exit|ended|process/i,
    withinMs: 30_000,
  },
  {
    name: 'a function that kills its process',
    script: functionScript(`process.kill(process.pid, 'SIGKILL'); await new Promise(() => undefined)`),
    says: /SIGKILL|ended|process/i,
    withinMs: 60_000,
  },
  {
    name: 'a function that throws null',
    script: functionScript(`throw null`),
    says: /null/,
    withinMs: 30_000,
  },
  {
    name: 'a function that throws an object that throws',
    script: functionScript(
      `throw { get message(): string { throw new Error('no') }, toString(): string { throw new Error('neither') } }`,
    ),
    says: /./,
    withinMs: 30_000,
  },
  {
    name: 'a function that patches prototypes',
    script: functionScript(
      `Array.prototype.map = () => { throw new Error('patched map') }; JSON.stringify = () => { throw new Error('patched stringify') }; Object.prototype.toString = () => { throw new Error('patched') }; Promise.prototype.then = undefined as never; throw new Error('patched all')`,
      `.timeoutMs(5000)`,
    ),
    says: /./,
    withinMs: 60_000,
  },
  {
    name: 'a function with a rejection that nobody hears',
    script: functionScript(
      `void Promise.reject(new Error('unheard')); await new Promise((resolve) => setTimeout(resolve, 200)); throw new Error('after')`,
    ),
    says: /unheard|after/,
    withinMs: 30_000,
  },
  {
    name: 'a script that loops while it is read',
    script: `for (;;) continue`,
    says: /time|second|ms/i,
    withinMs: 60_000,
  },
]

const goodTasks: readonly BadTask[] = [
  { name: 'good function', script: functionScript('return {}'), says: undefined, withinMs: 30_000 },
  { name: 'good command', script: commandScript('true'), says: undefined, withinMs: 30_000 },
]

const longestAnswerMs = 2000
const limits = ['--task-file-size', '512M', '--task-processes', '200']
const flags = ['--script-time', '20s', '--script-memory', '256M', ...limits]

/** Runs tasks that do what they can against the server, one after the other, and asks it for its state meanwhile. */
export async function torture(): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-tasks-'))
  const faults: string[] = []
  const endings: Ending[] = []
  const rows: { readonly name: string; readonly value: string }[] = []
  const counts = { unasked: 0, slowest: 0, left: 0, endless: 0, badSentences: 0 }
  try {
    const life = await startLife(join(directory, 'data'), { flags })
    try {
      const client = new TortureClient()
      await client.login(life)
      // What the server keeps ready for later jobs, such as its launchers, begins with the first ones.
      for (const task of goodTasks) await runBad(life, client, task)
      const idle = processTree(life.pid).length
      const memory = residentBytes(life.pid)
      const descriptors = openDescriptors(life.pid)
      for (const task of badTasks) {
        const { ms, message, slowestMs, processes } = await runBad(life, client, task)
        counts.slowest = Math.max(counts.slowest, slowestMs)
        if (slowestMs > longestAnswerMs) {
          counts.unasked += 1
          faults.push(`${task.name}: an answer about the state took ${Math.round(slowestMs)} ms`)
        }
        rows.push({
          name: task.name,
          value: `${Math.round(ms)} ms: ${message.replaceAll(/\s+/g, ' ').slice(0, 110)}`,
        })
        if (ms >= task.withinMs) counts.endless += 1
        else if (!(task.says ?? /^/).test(message)) counts.badSentences += 1
        if (ms >= task.withinMs || !(task.says ?? /^/).test(message))
          faults.push(`${task.name}: ${message.slice(0, 300)}`)
        const left = () => stillAlive(processes).length
        await untilTrue('nothing is left of it', () => left() === 0, { forMs: 10_000 }).catch(() => {
          counts.left += left()
          faults.push(
            `${task.name}: left ${stillAlive(processes)
              .map(({ pid }) => `${pid} (${commandLineOf(pid)})`)
              .join(', ')}`,
          )
        })
      }
      rows.push(
        {
          name: 'processes of the server before and after',
          value: `${idle}, ${processTree(life.pid).length}`,
        },
        {
          name: 'memory before and after (MiB)',
          value: `${mebibytes(memory)}, ${mebibytes(residentBytes(life.pid))}`,
        },
        { name: 'descriptors before and after', value: `${descriptors}, ${openDescriptors(life.pid)}` },
      )
      if (!life.isAlive()) faults.push('the server is gone')
      endings.push(await stopAmidTasks(life, client, join(directory, 'data'), faults))
    } finally {
      await life.end('SIGTERM')
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return {
    title: `${badTasks.length} bad tasks`,
    figures: [
      ...rows,
      { name: 'tasks that did not end in time', value: counts.endless, most: 0 },
      { name: 'errors that do not say what happened', value: counts.badSentences, most: 0 },
      {
        name: `answers about the state that took more than ${longestAnswerMs} ms`,
        value: counts.unasked,
        most: 0,
      },
      { name: 'slowest answer about the state (ms)', value: Math.round(counts.slowest) },
      { name: 'processes left behind', value: counts.left, most: 0 },
      ...stopFigures(endings),
    ],
    faults,
  }
}

/** Tasks that never end by themselves. */
const endlessTasks = [
  commandScript(`trap "" TERM; while true; do sleep 1; done`),
  functionScript(`for (;;) continue`),
  functionScript(`await new Promise(() => setInterval(() => undefined, 1000))`),
]

/** Asks a server to stop while tasks run that do not want to. The next one has them all, and cancels them. */
async function stopAmidTasks(
  life: Life,
  client: TortureClient,
  dataDirectory: string,
  faults: string[],
): Promise<Ending> {
  const ids: string[] = []
  for (const script of endlessTasks) {
    const { json, text } = await client.start(life, packScript(script))
    if (typeof json['id'] !== 'string') throw new Error(`/start answered ${text}`)
    ids.push(json['id'])
  }
  const isBusy = async (): Promise<boolean> => {
    const states = await Promise.all(ids.map(async (id) => (await client.state(life, id)).json))
    return states.filter(({ running }) => Number(running) > 0).length >= 2
  }
  await untilTrue('the slots are taken', isBusy, { forMs: 30_000 })
  const processes = processTree(life.pid)
  const ending = await life.end('SIGTERM')
  const left = () => stillAlive(processes)
  await untilTrue('nothing is left', () => left().length === 0, { forMs: 10_000 }).catch(() =>
    faults.push(
      `SIGTERM left ${left()
        .map(({ pid }) => commandLineOf(pid))
        .join(', ')}`,
    ),
  )
  const next = await startLife(dataDirectory, { flags })
  try {
    for (const id of ids) {
      const before = (await client.state(next, id)).json['state']
      if (before !== 'running') faults.push(`after SIGTERM, ${id} is ${JSON.stringify(before)}`)
      const { status, text } = await client.post(next, 'cancel', { id })
      if (status >= 300) faults.push(`a cancel was answered with ${status}: ${text}`)
    }
  } finally {
    await next.end('SIGTERM')
  }
  return ending
}

interface BadEnd {
  readonly ms: number
  readonly message: string
  readonly slowestMs: number
  /** All that ran below the server meanwhile and was not there before. */
  readonly processes: ReturnType<typeof processTree>
}

async function runBad(life: Life, client: TortureClient, task: BadTask): Promise<BadEnd> {
  const before = new Set(processTree(life.pid).map(({ pid }) => pid))
  const seen = new Map<number, ReturnType<typeof processTree>[number]>()
  const began = performance.now()
  let slowestMs = 0
  let message = ''
  let isOver = false
  const started = client.start(life, packScript(task.script)).then((answer) => {
    if (answer.status === 200) return String(answer.json['id'])
    const { message: told } = answer.json
    message = typeof told === 'string' ? told : answer.text
    isOver = true
    return undefined
  })
  let id: string | undefined
  void started.then((found) => (id = found))
  while (!isOver && performance.now() - began < task.withinMs) {
    const asked = performance.now()
    const { json } = id === undefined ? await client.post(life, 'list') : await client.state(life, id)
    slowestMs = Math.max(slowestMs, performance.now() - asked)
    for (const each of processTree(life.pid)) if (!before.has(each.pid)) seen.set(each.pid, each)
    if (json['state'] === 'failed') message = String((json['error'] as { message?: string })?.message)
    if (json['state'] === 'finished') message = 'It finished.'
    isOver ||= json['state'] === 'failed' || json['state'] === 'finished'
    await delay(100)
  }
  const ms = performance.now() - began
  if (!isOver) message = 'It did not end in time.'
  await started
  if (id !== undefined) await client.post(life, 'remove', { id })
  return { ms, message, slowestMs, processes: [...seen.values()] }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
