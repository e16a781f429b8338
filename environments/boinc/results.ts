import { existsSync } from 'node:fs'
import { copyFile, link, lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { CollectedFiles } from '../../src/environment/environment.ts'
import { ensureLogs, freshLogs } from '../../src/environment/job-files/logs.ts'
import { orAborted } from '../../src/environment/ssh/when-aborted.ts'
import { segmentsOf } from '../../src/environment/view.ts'
import { removeTree } from '../../src/files/remove-tree.ts'
import { readRecord } from '../../src/volunteers/result-archive.ts'
import type { ResultRecord } from '../../src/volunteers/result-record.ts'
import type { ResultUnpacker } from '../../src/volunteers/unpack-results.ts'
import type { JobPlace } from './filed-work.ts'

/** Results that count, as they are read and unpacked: each once for all jobs of its workunit. */
export class Results {
  readonly #directory: string
  readonly #unpacker: ResultUnpacker
  readonly #records = new Map<string, Promise<ResultRecord>>()
  readonly #unpacking = new Map<string, Promise<string>>()

  /** `directory` may hold what an earlier life of the server unpacked. */
  constructor(directory: string, unpacker: ResultUnpacker) {
    this.#directory = directory
    this.#unpacker = unpacker
  }

  /** How the jobs of a workunit ended. Throws Problem, or the system's error. */
  record(name: string, archive: string): Promise<ResultRecord> {
    return once(this.#records, name, () => readRecord(archive))
  }

  /** Brings outputs of a job into `directory`; its logs stay until `forget`. */
  async collect(
    { work, position, job }: JobPlace,
    archive: string,
    directory: string,
    signal: AbortSignal,
  ): Promise<CollectedFiles> {
    const { name } = work.workunit
    const { remark } = await this.record(name, archive)
    // Others may wait for the same: it goes on when this one does not.
    const unpacked = await orAborted(
      once(this.#unpacking, name, () => this.#unpack(name, archive)),
      signal,
    )
    const gathered = await gather({ work, position, job }, unpacked, directory)
    return { ...gathered, ...(remark !== undefined && { remark }) }
  }

  /** What there is of a job without a result: empty logs. */
  nothing({ work, position, job }: JobPlace): CollectedFiles {
    const missing = job.outputs.flatMap(({ path, optional }) => (optional === true ? [] : [path]))
    const logs = freshLogs(join(this.#directory, `${work.workunit.name}.none`, String(position)))
    ensureLogs(logs)
    return { files: [], missing, ...logs }
  }

  async forget(name: string): Promise<void> {
    await this.#unpacking.get(name)?.catch(() => undefined)
    this.#records.delete(name)
    this.#unpacking.delete(name)
    for (const each of [name, `${name}.none`]) await removeTree(join(this.#directory, each))
  }

  async #unpack(name: string, archive: string): Promise<string> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const target = join(this.#directory, name)
    if (!existsSync(target)) await this.#unpacker.unpack(archive, target)
    return target
  }
}

/** Brings outputs of a job from a result that was unpacked into `directory`; its logs stay there. */
export async function gather(
  { position, job }: JobPlace,
  unpacked: string,
  directory: string,
): Promise<CollectedFiles> {
  const place = join(unpacked, 'jobs', String(position))
  const files: string[] = []
  const missing: string[] = []
  for (const [index, { path, optional }] of job.outputs.entries()) {
    const from = join(place, 'out', String(index + 1))
    if (existsSync(from)) {
      await bring(from, join(directory, ...(segmentsOf(path) ?? [])))
      files.push(path)
    } else if (optional !== true) missing.push(path)
  }
  await mkdir(place, { recursive: true })
  const logs = { stdout: join(place, 'stdout'), stderr: join(place, 'stderr') }
  ensureLogs(logs)
  return { files, missing, ...logs }
}

/** Replaces what is there. Files are the same as the unpacked ones, which nobody writes. */
async function bring(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await mkdir(dirname(to), { recursive: true })
  if ((await lstat(from)).isDirectory()) {
    await mkdir(to)
    for (const name of await readdir(from)) await bring(join(from, name), join(to, name))
    return
  }
  await link(from, to).catch(() => copyFile(from, to))
}

function once<Value>(
  known: Map<string, Promise<Value>>,
  name: string,
  make: () => Promise<Value>,
): Promise<Value> {
  const found = known.get(name)
  if (found !== undefined) return found
  const made = make()
  known.set(name, made)
  made.catch(() => known.delete(name))
  return made
}
