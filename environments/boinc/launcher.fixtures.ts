import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { toJobId, type JobRequest } from '../../src/environment/environment.ts'
import { WorkTrees } from '../../src/environment/job-files/work-trees.ts'
import { until } from '../../test/conformance/until.ts'
import { launcherScript, slotNames } from './launcher-script.ts'
import { packEntries } from './pack-entries.ts'
import { contentEntries, taskEntries } from './task-archive.ts'

const channelBytes = 1024
const patienceMs = 60_000
/** Node for jobs that need it, then what every host has. */
const usualPath = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`

/** A working directory of a task, and as much of a BOINC client as its launcher sees. No real client takes part. */
export class FakeClient implements AsyncDisposable {
  readonly directory: string
  readonly slot: string
  readonly workDirectory: string
  readonly #shell: readonly string[]
  #launcher: ChildProcess | undefined
  #beat: NodeJS.Timeout | undefined
  #count = 0

  private constructor(directory: string, shell: readonly string[]) {
    this.directory = directory
    this.slot = join(directory, 'slots/0')
    this.workDirectory = join(directory, 'work')
    this.#shell = shell
  }

  /** `shell` runs the launcher: `['dash']`, `['busybox', 'sh']`. */
  static async start(shell: readonly string[]): Promise<FakeClient> {
    const client = new FakeClient(await mkdtemp(join(tmpdir(), 'molehill-launcher-')), shell)
    mkdirSync(client.slot, { recursive: true })
    mkdirSync(client.workDirectory)
    writeFileSync(join(client.slot, 'boinc_mmap_file'), Buffer.alloc(8 * channelBytes))
    writeFileSync(join(client.directory, 'launcher'), launcherScript, { mode: 0o755 })
    client.sayClientPid(process.pid)
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopBeating()
    const { pid } = this.#launcher ?? {}
    if (pid !== undefined && this.#launcher?.exitCode === null) {
      await this.send('<quit/>')
      await this.ended()
    }
    await rm(this.directory, { recursive: true, force: true })
  }

  request(script: string, more: Partial<JobRequest> = {}): JobRequest {
    this.#count += 1
    return {
      id: toJobId(`job-${this.#count}`),
      command: ['sh', '-c', script],
      env: {},
      workDirectory: this.workDirectory,
      inputs: [],
      outputs: [],
      resources: {},
      ...more,
    }
  }

  /** Puts the files of a task into the slot, as the client does. */
  async place(requests: readonly JobRequest[], resultBytes = 1_000_000): Promise<void> {
    const signal = new AbortController().signal
    const trees = new WorkTrees()
    const tree = await trees.tree(this.workDirectory, undefined, signal)
    const shared = new Map()
    for (const { from } of requests[0]?.shared ?? []) shared.set(from, await trees.shared(from, signal))
    const options = { resultBytes, diskBytes: 10_000_000, variables: {} }
    const packed = join(this.directory, 'packed')
    const archives = [
      [slotNames.tree, contentEntries(tree.content)],
      [slotNames.jobs, taskEntries(requests, { tree, shared }, options)],
    ] as const
    for (const [name, entries] of archives) {
      const { path } = await packEntries(entries, packed, 'in', signal)
      await copyFile(path, join(this.slot, name))
    }
    for (const [index, content] of [...shared.values()].entries()) {
      // What the application brings is only linked.
      const { path } = await packEntries(contentEntries(content), packed, 'shared', signal)
      writeFileSync(join(this.slot, slotNames.shared(index)), `<soft_link>${path}</soft_link>\n`)
    }
  }

  sayClientPid(pid: number): void {
    writeFileSync(
      join(this.slot, 'init_data.xml'),
      `<app_init_data>\n<client_pid>${pid}</client_pid>\n</app_init_data>\n`,
    )
  }

  launch(): void {
    const [program = 'sh', ...words] = this.#shell
    this.#launcher = spawn(program, [...words, join(this.directory, 'launcher')], {
      cwd: this.slot,
      env: { PATH: usualPath, LD_LIBRARY_PATH: '../../projects/here:.:../..:/own/libraries' },
      stdio: 'ignore',
    })
    this.#beat ??= setInterval(() => this.#put(4, '<heartbeat/>'), 300)
  }

  stopBeating(): void {
    clearInterval(this.#beat)
    this.#beat = undefined
  }

  get launcherPid(): number {
    return this.#launcher?.pid ?? 0
  }

  /** The launcher's exit code; null where a signal ended it. */
  async ended(): Promise<number | null> {
    const launcher = this.#launcher
    return until(
      'the launcher has ended',
      () =>
        launcher?.exitCode !== null || launcher.signalCode !== null
          ? { code: launcher?.exitCode ?? null }
          : undefined,
      () => this.listing(),
      patienceMs,
    ).then(({ code }) => code)
  }

  /** Waits until the launcher has taken the message before. */
  async send(message: string): Promise<void> {
    await until(`${message} can be sent`, () => this.#flag(0) === 0 || undefined, undefined, patienceMs)
    this.#put(0, message)
    await until(`${message} is taken`, () => this.#flag(0) === 0 || undefined, undefined, patienceMs)
  }

  /** What the launcher tells next. */
  async status(): Promise<string> {
    this.#write(5 * channelBytes, Buffer.from([0]))
    await until('the launcher tells something', () => this.#flag(5) === 1 || undefined, undefined, patienceMs)
    return this.#text(5)
  }

  /** Of a file in the slot; undefined where it is not there. */
  read(name: string): string | undefined {
    try {
      return readFileSync(join(this.slot, name), 'utf8')
    } catch {
      return undefined
    }
  }

  async untilFile(name: string): Promise<string> {
    return until(
      `${name} is there`,
      () => {
        const text = this.read(name)
        return text === undefined || text === '' ? undefined : text
      },
      undefined,
      patienceMs,
    )
  }

  listing(): string {
    return `starts: ${this.read('starts')}, record: ${this.read('record')}, end: ${this.read('jobs/1/end')}`
  }

  #flag(channel: number): number {
    return this.#bytes(channel)[0] ?? -1
  }

  #text(channel: number): string {
    const bytes = this.#bytes(channel)
    return bytes.subarray(1, bytes.indexOf(0, 1)).toString()
  }

  #bytes(channel: number): Buffer {
    const bytes = Buffer.alloc(channelBytes)
    const file = openSync(join(this.slot, 'boinc_mmap_file'), 'r')
    readSync(file, bytes, 0, channelBytes, channel * channelBytes)
    closeSync(file)
    return bytes
  }

  #put(channel: number, message: string): void {
    if (this.#flag(channel) !== 0) return
    this.#write(channel * channelBytes + 1, Buffer.from(`${message}\0`))
    this.#write(channel * channelBytes, Buffer.from([1]))
  }

  #write(position: number, bytes: Buffer): void {
    const file = openSync(join(this.slot, 'boinc_mmap_file'), 'r+')
    writeSync(file, bytes, 0, bytes.length, position)
    closeSync(file)
  }
}
