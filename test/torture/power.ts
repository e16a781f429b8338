import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { uniformAt } from '../../src/workflow/random.ts'
import { tarGzip } from '../helpers/tar.ts'
import { stopFigures, type Report } from './figures.ts'
import { checkHookRows, fanScript } from './kills-workflow.ts'
import { executionDirectory, startLife, TortureClient, type Ending, type Life } from './server.ts'
import { untilTrue } from './until.ts'

const size = 20
const imageMebibytes = 384
const longestWaitMs = 1500
/** So many files are synced one by one, and so many by syncing their file system. */
const fileCounts = [10, 150]
const endMs = 120_000
const usual = { flags: ['--disk-reserve', '0'] }

interface Known {
  readonly id: string
  readonly files: number
  isFinished: boolean
}

interface Counts {
  unknown: number
  damagedFiles: number
  wentBack: number
  badEnds: number
  rowsWrong: number
  readonly faults: string[]
}

/**
 * Cuts the power of a server: it stands still while its disk, an ext4 in a file, is copied as it is without all that
 * was not synced; then a server starts on the copy. Needs root, for the mounts.
 */
export async function torture(options: {
  readonly powerCuts: number
  readonly seed: number
}): Promise<Report> {
  const { powerCuts, seed } = options
  const title = `${powerCuts} power cuts, seed ${seed}`
  const directory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'molehill-power-'))
  const counts: Counts = { unknown: 0, damagedFiles: 0, wentBack: 0, badEnds: 0, rowsWrong: 0, faults: [] }
  const endings: Ending[] = []
  const known: Known[] = []
  const image = join(directory, 'image')
  const disk = join(directory, 'disk')
  try {
    const refusal = await mountNew(image, disk)
    if (refusal !== undefined)
      return { title: `${title}: skipped, as no disk can be mounted (${refusal})`, figures: [], faults: [] }
    const life = await startLife(join(disk, 'data'), usual)
    try {
      const client = new TortureClient()
      await client.login(life)
      for (let cut = 0; cut < powerCuts; cut += 1) {
        const files = fileCounts[cut % fileCounts.length] ?? 0
        const { json, text } = await client.start(life, pack(files))
        if (typeof json['id'] !== 'string') throw new Error(`/start answered ${text}`)
        known.push({ id: json['id'], files, isFinished: false })
        await delay(uniformAt(seed, 0, cut) ** 2 * longestWaitMs)
        for (const each of known.filter(({ isFinished }) => !isFinished))
          each.isFinished = (await client.state(life, each.id)).json['state'] === 'finished'
        const copy = join(directory, 'copy')
        process.kill(life.pid, 'SIGSTOP')
        try {
          execFileSync('cp', ['--sparse=always', image, copy])
        } finally {
          process.kill(life.pid, 'SIGCONT')
        }
        await checkCopy(copy, join(directory, 'copied'), known, { client, counts, cut, seed, endings })
      }
    } finally {
      await life.end('SIGTERM')
      execFileSync('umount', [disk])
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
  return {
    title,
    figures: [
      { name: 'power cuts', value: powerCuts },
      { name: 'executions answered with an id', value: known.length, least: 1 },
      { name: 'executions lost', value: counts.unknown, most: 0 },
      { name: 'uploaded files lost or changed', value: counts.damagedFiles, most: 0 },
      { name: 'ends that were told and lost', value: counts.wentBack, most: 0 },
      { name: 'executions that end otherwise than they should', value: counts.badEnds, most: 0 },
      { name: 'rows and lines lost or doubled', value: counts.rowsWrong, most: 0 },
      ...stopFigures(endings),
    ],
    faults: counts.faults,
  }
}

/** Why there can be no such disk; undefined when it is mounted. */
async function mountNew(image: string, disk: string): Promise<string | undefined> {
  await mkdir(disk)
  try {
    execFileSync('truncate', ['-s', `${imageMebibytes}M`, image], { stdio: 'pipe' })
    execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'pipe' })
    execFileSync('mount', ['-o', 'loop', image, disk], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return String(error).split('\n')[0]
  }
}

interface CopyTrial {
  readonly client: TortureClient
  readonly counts: Counts
  readonly cut: number
  readonly seed: number
  readonly endings: Ending[]
}

async function checkCopy(
  copy: string,
  disk: string,
  known: readonly Known[],
  { client, counts, cut, seed, endings }: CopyTrial,
): Promise<void> {
  const fault = (what: string): void => void counts.faults.push(`power cut ${cut}: ${what}`)
  await mkdir(disk, { recursive: true })
  execFileSync('mount', ['-o', 'loop', copy, disk])
  try {
    const dataDirectory = join(disk, 'data')
    for (const { id, files } of known) {
      const damaged = countDamaged(dataDirectory, id, files)
      counts.damagedFiles += damaged
      if (damaged > 0) fault(`${damaged} of ${files} files of ${id} are not as they were sent`)
    }
    let life = await startLife(dataDirectory, usual)
    try {
      // Every other server is asked to stop while what it found goes on; the next one has to find it again.
      if (cut % 2 === 1) {
        await delay(uniformAt(seed, 1, cut) * longestWaitMs)
        endings.push(await life.end('SIGTERM'))
        life = await startLife(dataDirectory, usual)
      }
      for (const each of known) {
        const { status, json } = await client.state(life, each.id)
        if (status !== 200) {
          counts.unknown += 1
          fault(`${each.id} is not known any more`)
          continue
        }
        if (each.isFinished && json['state'] !== 'finished') {
          counts.wentBack += 1
          fault(`${each.id} had finished and is ${JSON.stringify(json['state'])}`)
        }
        await checkEnd(life, client, each.id, { dataDirectory, counts, fault })
      }
    } finally {
      endings.push(await life.end('SIGTERM'))
    }
  } finally {
    execFileSync('umount', [disk])
    await rm(copy)
  }
}

async function checkEnd(
  life: Life,
  client: TortureClient,
  id: string,
  trial: { dataDirectory: string; counts: Counts; fault: (what: string) => void },
): Promise<void> {
  const { dataDirectory, counts, fault } = trial
  const state = async () => client.state(life, id)
  await untilTrue('it ends', async () => (await state()).json['state'] !== 'running', { forMs: endMs }).catch(
    (error: unknown) => fault(String(error)),
  )
  const { json, text } = await state()
  if (json['state'] !== 'finished') {
    counts.badEnds += 1
    fault(`${id}: ${text.slice(0, 500)}`)
    return
  }
  const { json: output } = await client.post(life, 'output', { id })
  const rows = await checkHookRows(dataDirectory, id, size, String(output['output']))
  const wrong = Object.values(rows).reduce((sum: number, each: number) => sum + each, 0)
  counts.rowsWrong += wrong
  if (wrong > 0) fault(`${id}: ${JSON.stringify(rows)}`)
}

const nameOf = (file: number): string => `data/file-${file}.txt`
const contentOf = (file: number): string => `this is file ${file}\n`.repeat(20)

function pack(files: number): Blob {
  const members = Array.from({ length: files }, (_, file) => ({
    name: nameOf(file),
    content: contentOf(file),
  }))
  return new Blob([new Uint8Array(tarGzip([{ name: 'workflow.ts', content: fanScript(size) }, ...members]))])
}

function countDamaged(dataDirectory: string, id: string, files: number): number {
  const work = join(executionDirectory(dataDirectory, id), 'work')
  let damaged = 0
  for (let file = 0; file < files; file += 1)
    try {
      if (readFileSync(join(work, nameOf(file)), 'utf8') !== contentOf(file)) damaged += 1
    } catch {
      damaged += 1
    }
  return damaged
}
