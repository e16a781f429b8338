import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CollectedFiles, JobId } from '../environment.ts'
import { ensureLogs, freshLogs, logDirectory, sortOutputs } from './logs.ts'
import { readCommandFile, type DeclaredOutputs } from './command-file.ts'
import { jobPath, type JobPlace } from './places.ts'

/** A wish for the outputs of one job. */
export interface Fetch {
  readonly place: JobPlace
  /** On the server. */
  readonly directory: string
  readonly signal: AbortSignal
}

/** One job's part of a stream of outputs: says where its files go and what came. */
export class Receipt {
  readonly id: JobId
  readonly #directory: string
  readonly #logs: string
  readonly #path: string
  readonly #found = new Set<string>()
  #declared: DeclaredOutputs | undefined

  constructor({ place, directory }: Fetch, ownDirectory: string) {
    this.id = place.id
    this.#directory = directory
    this.#path = `${jobPath(place)}/`
    this.#logs = logDirectory(ownDirectory, place)
  }

  /** What an earlier stream brought of the logs is forgotten. */
  open(): void {
    freshLogs(this.#logs)
  }

  /** Where a path of the stream goes. Only logs and what was declared are taken. */
  placeOf(path: string, kind: 'file' | 'directory'): string | undefined {
    const own = path.slice(this.#path.length).replace(/\/+$/, '')
    if (kind === 'file' && (own === 'command' || own === 'stdout' || own === 'stderr'))
      return join(this.#logs, own)
    const below = /^(?:work|followed)\/(.+)$/s.exec(own)?.[1]
    if (below === undefined) return undefined
    const { outputs } = this.#outputs()
    const owner = outputs.find(({ plain }) => below === plain || below.startsWith(`${plain}/`))
    if (owner === undefined) return undefined
    const target = join(this.#directory, below)
    // What an earlier call brought is replaced.
    if (below === owner.plain && !this.#found.has(below)) rmSync(target, { recursive: true, force: true })
    if (outputs.some(({ plain }) => plain === below)) this.#found.add(below)
    // An output inside another one comes twice.
    return kind === 'file' && existsSync(target) ? undefined : target
  }

  /** Undefined when nothing of the job was in the stream. */
  close(): CollectedFiles | undefined {
    if (!existsSync(join(this.#logs, 'command'))) return undefined
    const { outputs } = this.#outputs()
    const logs = { stdout: join(this.#logs, 'stdout'), stderr: join(this.#logs, 'stderr') }
    ensureLogs(logs)
    return { ...sortOutputs(outputs, ({ plain }) => this.#found.has(plain)), ...logs }
  }

  #outputs(): DeclaredOutputs {
    this.#declared ??= readCommandFile(readFileSync(join(this.#logs, 'command'), 'utf8'))
    return this.#declared
  }
}
