import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const repository = fileURLToPath(new URL('../../', import.meta.url))

describe('a server killed in the middle of forest-fire', () => {
  let directory: string
  const servers: ChildProcess[] = []

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-kill-'))
    await writeFile(join(directory, 'password'), 'sesame\n', { mode: 0o600 })
  })

  afterEach(async () => {
    for (const server of servers.splice(0)) await kill(server, 'SIGTERM')
    await rm(directory, { recursive: true, force: true })
  })

  /** Starts `molehill serve` on a free port and answers with its URL. */
  async function serve(): Promise<{ server: ChildProcess; url: string }> {
    const words = ['serve', '--http', '--port', '0', '--log-format', 'json']
    const options = [
      '--data-directory',
      join(directory, 'data'),
      '--password-file',
      join(directory, 'password'),
    ]
    const server = spawn(join(repository, 'bin/molehill'), [...words, ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    servers.push(server)
    for await (const line of createInterface({ input: server.stdout })) {
      const { address } = JSON.parse(line) as { address?: string }
      if (address !== undefined) return { server, url: address }
    }
    throw new Error('The server ended before it told its address.')
  }

  async function post<Answer>(
    url: string,
    parameters: Record<string, string>,
    archive?: Buffer,
  ): Promise<Answer> {
    const form = new FormData()
    for (const [name, value] of Object.entries(parameters)) form.set(name, value)
    if (archive !== undefined) form.set('workDirectory', new Blob([new Uint8Array(archive)]), 'work.tgz')
    const answer = await fetch(url, { method: 'POST', body: form })
    expect(answer.ok, `${url} answered ${answer.status}`).toBe(true)
    return (await answer.json()) as Answer
  }

  const completedJobs = (id: string): Map<string, number> => {
    const path = join(directory, 'data', 'executions', id, 'journal.db')
    const journal = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
    const rows = journal.prepare("SELECT step, ticket, ended_at FROM jobs WHERE state = 'completed'").all()
    journal.close()
    return new Map(
      rows.map((row) => [`${String(row['step'])} ${String(row['ticket'])}`, Number(row['ended_at'])]),
    )
  }

  it('finishes it after a restart, without running completed jobs again', { timeout: 240_000 }, async () => {
    const archive = execFileSync('tar', ['-C', join(repository, 'workflows/forest-fire'), '-cz', '.'])
    const first = await serve()
    const { token } = await post<{ token: string }>(`${first.url}/token`, { password: 'sesame' })
    const { id } = await post<{ id: string }>(`${first.url}/start`, { token, script: 'workflow.ts' }, archive)
    const state = async (url: string) =>
      post<{ state: string; completed: number }>(`${url}/state`, { token, id })
    const told = await waitFor(
      async () => state(first.url),
      ({ completed }) => completed > 400,
    )
    expect(told.state, 'it was over before it could be killed').toBe('running')
    await kill(first.server, 'SIGKILL')
    const before = completedJobs(id)
    expect(before.size).toBeGreaterThanOrEqual(told.completed)

    // The token of the first life is still good.
    const second = await serve()
    const ended = await waitFor(
      async () => state(second.url),
      (now) => now.state !== 'running',
    )
    expect(ended).toMatchObject({ state: 'finished', ready: 0, failed: 0 })
    const after = completedJobs(id)
    expect(after.size).toBe(ended.completed)
    for (const [job, endedAt] of before) expect(after.get(job), `job ${job} ran again`).toBe(endedAt)

    const work = join(directory, 'data', 'executions', id, 'work')
    const rows = (await readFile(join(work, 'burned.csv'), 'utf8')).trim().split('\n')
    expect(new Set(rows).size).toBe(rows.length)
    const expected = join(repository, 'workflows/forest-fire/expected/medians.csv')
    expect(await readFile(join(work, 'medians.csv'), 'utf8')).toBe(await readFile(expected, 'utf8'))
  })
})

async function waitFor<Answer>(
  ask: () => Promise<Answer>,
  isEnough: (answer: Answer) => boolean,
): Promise<Answer> {
  for (let left = 4000; ; left -= 1) {
    const answer = await ask()
    if (isEnough(answer)) return answer
    if (left === 0) throw new Error(`Waited too long; the last answer was ${JSON.stringify(answer)}.`)
    await delay(50)
  }
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const over = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill(signal)
  await over
}
