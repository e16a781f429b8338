import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { HostMemory, ProcessTask, ToldLine } from '../../test/helpers/volunteers-process.ts'

const program = fileURLToPath(new URL('../../test/helpers/volunteers-process.ts', import.meta.url))
/** New work in each life: more than the answers before a kill can hand out. */
const workunitsPerLife = 40
const kills = 3

/** Runs the process until it is done, or kills it after so many answers. Gives what the answers told. */
async function run(task: ProcessTask, killedAfter: number): Promise<{ told: ToldLine[]; isDone: boolean }> {
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  child.stdin.on('error', () => undefined)
  child.stdin.end(JSON.stringify(task))
  const told: ToldLine[] = []
  let isDone = false
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'done') isDone = true
    // A line that the kill cut short told nobody anything.
    else if (line.endsWith('}')) told.push(JSON.parse(line) as ToldLine)
    if (told.length === killedAfter) child.kill('SIGKILL')
  }
  await ended
  return { told, isDone }
}

test('what a host was told outlives a kill, and every result counts once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-kill-'))
  const accountSecret = randomBytes(32).toString('hex')
  const hosts: HostMemory[] = [1, 2, 3, 4, 5, 6].map((account) => ({
    account,
    hostId: 0,
    sequenceNumber: 0,
    tasks: {},
  }))
  try {
    for (let life = 0; life <= kills; life += 1) {
      const killedAfter = life < kills ? randomInt(3, 18) : Infinity
      const workunits = workunitsPerLife * (life + 1)
      const { told, isDone } = await run({ directory, accountSecret, workunits, hosts }, killedAfter)
      expect(isDone).toBe(life === kills)
      compare(join(directory, 'project.db'), told)
      for (const { account, hostId, sequenceNumber, tasks } of told)
        hosts[account - 1] = { account, hostId, sequenceNumber, tasks }
    }
    using database = new DatabaseSync(join(directory, 'project.db'))
    const accepted = database
      .prepare(`SELECT count(*) AS count FROM copies WHERE state = 'accepted' GROUP BY workunit`)
      .all()
    expect(accepted.map(({ count }) => count)).toEqual(
      Array.from({ length: workunitsPerLife * (kills + 1) }, () => 1),
    )
    expect(database.prepare('SELECT count(*) AS count FROM hosts').get()).toEqual({ count: hosts.length })
  } finally {
    await rm(directory, { recursive: true })
  }
}, 300_000)

/** Holds what answers told beside what is in the database. */
function compare(path: string, told: readonly ToldLine[]): void {
  using database = new DatabaseSync(path)
  const hostOf = database.prepare('SELECT account, sequence_number AS sequenceNumber FROM hosts WHERE id = ?')
  const copyOf = database.prepare(
    `SELECT copies.state, host, output_name AS outputName FROM copies JOIN workunits ON id = workunit
     WHERE name || '_' || number = ?`,
  )
  const acknowledged = new Set(told.flatMap((line) => line.acknowledged))
  for (const { account, hostId, tasks } of told) {
    expect(hostOf.get(hostId)).toMatchObject({ account })
    for (const [name, outputName] of Object.entries(tasks))
      expect(copyOf.get(name), name).toMatchObject({ host: hostId, outputName })
  }
  for (const name of acknowledged)
    expect(['reported', 'accepted', 'agreeing']).toContain(copyOf.get(name)?.['state'])
}
