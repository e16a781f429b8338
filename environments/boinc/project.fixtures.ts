import { spawn, type ChildProcess } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type {
  ArchiveComparison,
  VolunteerHost,
  VolunteerProject,
  Workunit,
  WorkunitProgress,
} from '../../src/environment/volunteers.ts'
import { digestResult } from '../../src/volunteers/result-archive.ts'

/** A project with one host that runs the launcher itself: no client, no protocol, no other copies. */
export class FakeProject implements VolunteerProject, AsyncDisposable {
  readonly filed = new Map<string, Workunit>()
  /** Whether workunits are run as soon as they are filed. */
  isRunning = true
  hostList: VolunteerHost[] = [host]
  /** What compares results, if anything does. */
  comparison: ArchiveComparison | undefined
  readonly #directory: string
  readonly #progress = new Map<string, WorkunitProgress>()
  readonly #waiting: string[] = []
  readonly #launchers = new Map<string, ChildProcess>()
  readonly #watchers = new Set<(names: readonly string[]) => void>()

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async start(): Promise<FakeProject> {
    return new FakeProject(await mkdtemp(join(tmpdir(), 'molehill-project-')))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel([...this.#launchers.keys()])
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  async file(workunits: readonly Workunit[]): Promise<void> {
    for (const workunit of workunits) {
      if (this.filed.has(workunit.name)) continue
      this.filed.set(workunit.name, workunit)
      this.#tell(workunit.name, { kind: 'queued' })
      if (this.isRunning) this.#waiting.push(workunit.name)
    }
    this.#runNext()
  }

  async progressOf(names: readonly string[]): Promise<ReadonlyMap<string, WorkunitProgress>> {
    return new Map(names.flatMap((name) => [[name, this.#progress.get(name)] as const]).filter(isKnown))
  }

  async cancel(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const kind = this.#progress.get(name)?.kind
      if (kind === 'queued' || kind === 'running') this.#tell(name, { kind: 'cancelled' })
    }
    await Promise.all(names.map((name) => this.#end(name)))
  }

  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      this.filed.delete(name)
      this.#progress.delete(name)
      await rm(this.#slotOf(name), { recursive: true, force: true, maxRetries: 5 })
    }
  }

  watch(changed: (names: readonly string[]) => void, signal: AbortSignal): void {
    this.#watchers.add(changed)
    signal.addEventListener('abort', () => this.#watchers.delete(changed), { once: true })
  }

  compareWith(compare: ArchiveComparison, signal: AbortSignal): void {
    this.comparison = compare
    signal.addEventListener('abort', () => (this.comparison = undefined), { once: true })
  }

  async signatureOf({ md5 }: { readonly md5: string }): Promise<string> {
    return `signature of ${md5}`
  }

  async hosts(limit: number): Promise<readonly VolunteerHost[]> {
    return this.hostList.slice(0, limit)
  }

  /** Says how far a workunit is, as a test wants it. */
  say(name: string, progress: WorkunitProgress): void {
    this.#tell(name, progress)
  }

  run(name: string): void {
    const workunit = this.filed.get(name)
    const [launcher, ...shared] = workunit?.application.platforms['x86_64-pc-linux-gnu'] ?? []
    if (workunit === undefined || launcher === undefined) throw new Error(`${name} cannot be run here`)
    const slot = this.#slotOf(name)
    mkdirSync(slot, { recursive: true })
    for (const { openName, path } of workunit.inputs) copyFileSync(path, join(slot, openName))
    for (const { openName = '', path } of shared)
      writeFileSync(join(slot, openName), `<soft_link>${path}</soft_link>\n`)
    const child = spawn('sh', [launcher.path], {
      cwd: slot,
      stdio: 'ignore',
      env: { PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`, LANG: 'C.UTF-8' },
    })
    this.#launchers.set(name, child)
    this.#tell(name, { kind: 'running', host: host.name })
    child.on('error', (error) =>
      this.#tell(name, { kind: 'failed', cause: 'unknown', message: error.message }),
    )
    child.on('exit', () => {
      this.#launchers.delete(name)
      this.#runNext()
      const archive = join(slot, 'result.tar.gz')
      if (this.#progress.get(name)?.kind !== 'running') return
      if (!existsSync(archive)) {
        this.#tell(name, { kind: 'failed', cause: 'node-failure', message: 'no result' })
        return
      }
      digestResult(archive).then(
        (found) =>
          this.#tell(
            name,
            found.kind === 'sound'
              ? { kind: 'done', archive, host: host.name }
              : { kind: 'failed', cause: 'node-failure', message: found.message },
          ),
        (error: unknown) => this.#tell(name, { kind: 'failed', cause: 'unknown', message: String(error) }),
      )
    })
  }

  #runNext(): void {
    while (this.#launchers.size < host.cpus) {
      const name = this.#waiting.shift()
      if (name === undefined) return
      if (this.#progress.get(name)?.kind === 'queued') this.run(name)
    }
  }

  async #end(name: string): Promise<void> {
    const child = this.#launchers.get(name)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
    await promise
  }

  #tell(name: string, progress: WorkunitProgress): void {
    this.#progress.set(name, progress)
    for (const watcher of this.#watchers) watcher([name])
  }

  #slotOf(name: string): string {
    return join(this.#directory, 'slots', name)
  }
}

function isKnown<Value>(entry: readonly [string, Value | undefined]): entry is readonly [string, Value] {
  return entry[1] !== undefined
}

export const host: VolunteerHost = {
  id: 1,
  name: 'volunteer-1',
  volunteer: 'alice',
  platform: 'x86_64-pc-linux-gnu',
  cpus: 4,
  memoryBytes: 8 * 1024 ** 3,
  lastContact: Date.now(),
  copiesInProgress: 0,
  copiesDone: 0,
  copiesFailed: 0,
  refused: 0,
  credit: 0,
}
