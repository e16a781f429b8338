import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startTestEngine, writeFiles } from '../helpers/engine.ts'

const engineProcess = new URL('../helpers/engine-process.ts', import.meta.url).pathname

describe('an engine killed with SIGKILL', () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-restart-'))
  })

  afterEach(async () => {
    await rm(directory, { recursive: true, force: true })
  })

  const dataDirectory = (): string => join(directory, 'data')

  /** Runs the engine in a process until `isEnough`, and kills it there. */
  async function runAndKill(
    isEnough: (counts: { completed: number }) => boolean,
    source?: string,
  ): Promise<{ id: string; state: string }> {
    await writeFiles(dataDirectory(), {})
    const child = spawn(
      process.execPath,
      [engineProcess, dataDirectory(), ...(source === undefined ? [] : [source])],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const over = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    let last = { id: '', state: '', completed: 0 }
    for await (const line of createInterface({ input: child.stdout })) {
      last = JSON.parse(line) as typeof last
      if (isEnough(last)) child.kill('SIGKILL')
    }
    await over
    return last
  }

  function completedTickets(id: string): Set<string> {
    const journal = new DatabaseSync(join(dataDirectory(), 'executions', id, 'journal.db'), {
      readOnly: true,
    })
    const rows = journal
      .prepare("SELECT step, ticket FROM jobs WHERE state = 'completed'")
      .all()
      .map((row) => `${String(row['step'])}:${String(row['ticket'])}`)
    journal.close()
    return new Set(rows)
  }

  it('goes on where it was: completed jobs are not run again, and every row is written once', async () => {
    const log = join(directory, 'runs.log')
    await writeFiles(join(directory, 'source'), {
      'workflow.ts': `
        import { commandTask, csv, display, explore, functionTask, integer, json, jsonLines, range, readStdout, shell, text } from 'molehill'
        import { appendFileSync } from 'node:fs'
        const x = integer('x'), y = integer('y'), z = integer('z'), sum = integer('sum')
        const spin = (ms: number): void => { const end = performance.now() + ms; while (performance.now() < end) continue }
        const work = functionTask('work', {
          inputs: [x], outputs: [y],
          run({ x }) { appendFileSync(${JSON.stringify(log)}, 'work:' + x + '\\n'); spin(2); return { y: 2 * x } },
        }).hook(csv('rows.csv'), display(text\`did \${x}\`))
        const print = commandTask('print', {
          command: shell\`echo print:\${x} >> ${log}; echo \${y}\`, outputs: [readStdout(z)],
        }).hook(jsonLines('rows.jsonl', { values: [x, z] }))
        const add = functionTask('add', {
          inputs: [z.array], outputs: [sum], run: ({ z }) => ({ sum: z.reduce((a, b) => a + b, 0) }),
        }).hook(csv('sum.csv', { values: [sum] }))
        export default explore(range(x, { from: 1, to: 300 }), work.next(print)).aggregate(add)
      `,
    })
    const { id } = await runAndKill(({ completed }) => completed > 60, join(directory, 'source'))
    const before = completedTickets(id)
    const logBefore = (await readFile(log, 'utf8')).split('\n')
    expect(before.size).toBeGreaterThan(60)
    const second = await runAndKill(({ completed }) => completed > 250)
    expect(second.state).toBe('running')

    await using engine = await startTestEngine({ dataDirectory: dataDirectory() })
    const state = await engine.executions.ended(id, AbortSignal.timeout(60_000))
    expect(state.error).toBeUndefined()
    expect(state).toMatchObject({
      state: 'finished',
      counts: { ready: 0, running: 0, completed: 601, failed: 0 },
    })

    const work = engine.executions.workDirectory(id)
    const lines = async (path: string): Promise<string[]> =>
      (await readFile(join(work, path), 'utf8')).trim().split('\n')
    const everyX = Array.from({ length: 300 }, (_, index) => index + 1)
    expect((await lines('rows.csv')).slice(1).sort()).toEqual(everyX.map((x) => `${x},${2 * x}`).sort())
    expect(
      (await lines('rows.jsonl')).map((line) => (JSON.parse(line) as { x: number }).x).sort((a, b) => a - b),
    ).toEqual(everyX)
    expect(await lines('sum.csv')).toEqual(['sum', String(300 * 301)])

    // Jobs that were completed when the first process died do not appear in the log again.
    const logAfter = (await readFile(log, 'utf8')).split('\n').slice(logBefore.length - 1)
    const stepNames = ['explore', 'work', 'print']
    for (const key of before) {
      const [step = '', ticket = ''] = key.split(':')
      expect(logAfter).not.toContain(`${stepNames[Number(step)]}:${Number(ticket) + 1}`)
    }
  })

  it('leaves no process behind and clears away what was half made', async () => {
    await writeFiles(join(directory, 'source'), {
      'workflow.ts': `
        import { commandTask, explore, integer, range, shell } from 'molehill'
        const x = integer('x')
        export default explore(range(x, { from: 1, to: 9 }), commandTask('t', { command: shell\`test \${x} -lt 3 || sleep 986\` }))
      `,
    })
    const { id } = await runAndKill(({ completed }) => completed === 2, join(directory, 'source'))
    await expect.poll(processesWith('sleep\u0000986'), { timeout: 10_000 }).toEqual([])
    await writeFiles(join(dataDirectory(), 'executions', 'half-made'), { 'work/a': '' })

    await using engine = await startTestEngine({ dataDirectory: dataDirectory() })
    expect(await readdir(join(dataDirectory(), 'executions'))).toEqual([id])
    expect(engine.executions.state(id).counts.completed).toBe(2)
    await engine.executions.cancel(id)
  })

  it('keeps what it knew of executions that had ended', async () => {
    await writeFiles(join(directory, 'source'), {
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('broken', { command: shell\`echo why >&2; exit 3\` })
      `,
    })
    const { id } = await runAndKill(() => false, join(directory, 'source'))
    await using engine = await startTestEngine({ dataDirectory: dataDirectory() })
    expect(engine.executions.state(id)).toMatchObject({
      state: 'failed',
      counts: { failed: 1 },
      error: { message: 'broken: The command ended with exit code 3: why' },
      environments: [{ name: 'local', failed: 1, errors: [{ level: 'SEVERE' }] }],
    })
    expect(engine.executions.jobs(id, { limit: 5 }).jobs).toMatchObject([{ exitCode: 3, state: 'failed' }])
    expect(await engine.executions.output(id)).toBe('why\n')
  })
})

function processesWith(command: string): () => Promise<string[]> {
  return async () => {
    const found: string[] = []
    for (const pid of await readdir('/proc')) {
      const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (text.includes(command)) found.push(pid)
    }
    return found
  }
}

describe('damage', () => {
  it('to the index or to one journal is named and set aside, and hurts no other execution', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'molehill-damage-'))
    const script = (seconds: number): Record<string, string> => ({
      'workflow.ts': `
        import { commandTask, shell } from 'molehill'
        export default commandTask('t', { command: shell\`sleep ${seconds}\` })
      `,
    })
    try {
      const first = await startTestEngine({ dataDirectory: directory })
      const good = await first.start(script(0))
      await first.executions.ended(good, AbortSignal.timeout(20_000))
      const running = await first.start(script(985))
      const damaged = await first.start(script(984))
      await first.executions.close()

      const flip = async (path: string, text: string): Promise<void> => {
        const bytes = await readFile(path)
        const position = bytes.indexOf(text)
        expect(position).toBeGreaterThan(0)
        bytes[position] = (bytes[position] ?? 0) ^ 1
        await writeFile(path, bytes)
      }
      await flip(join(directory, 'molehill.db'), good)
      await flip(join(directory, 'executions', damaged, 'journal.db'), 'sleep 984')

      await using second = await startTestEngine({ dataDirectory: directory })
      expect(second.warnings.join('\n')).toContain('molehill.db is damaged')
      expect(await readdir(directory)).toContain('molehill.db.damaged')
      expect(second.executions.state(good)).toMatchObject({ state: 'finished', counts: { completed: 1 } })
      expect(second.executions.state(running).state).toBe('running')
      expect(second.executions.state(damaged).error?.message).toContain('journal is damaged')
      expect(await readdir(join(directory, 'executions', damaged))).toContain('journal.db.damaged')
      expect(second.executions.jobs(damaged, { limit: 10 }).jobs).toEqual([])
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
