import type { HostCommand } from '../host.ts'
import { FrameReader } from './frame-reader.ts'
import { agentText, askText } from './remote-script.ts'
import type { SshProcess } from './ssh-process.ts'

export interface AgentAnswer {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** More output than this ends the command. */
const mostOutputBytes = 64 * 1024 * 1024
const mostErrorBytes = 64 * 1024

/** The shell at the other end is gone, with these last words. */
export class AgentGone extends Error {
  override readonly name = 'AgentGone'
  /** Of ssh; null where a signal ended it. */
  readonly exitCode: number | null

  constructor(words: string, exitCode: number | null) {
    super(words)
    this.exitCode = exitCode
  }
}

/** A shell on the host that runs one command after the other: a round trip each, and no process here. */
export class Agent {
  /** Of bash on the host, and the host's clock when it began. */
  version = 0
  startedAtMs = 0
  readonly process: SshProcess
  readonly #mark: string
  readonly #out: FrameReader
  readonly #error: FrameReader
  readonly #gone: Promise<never>
  #count = 0
  #isBusy = false
  #group: number | undefined

  private constructor(process: SshProcess, mark: string) {
    this.process = process
    this.#mark = mark
    this.#out = new FrameReader(process.stdout)
    this.#error = new FrameReader(process.stderr)
    this.#gone = process.ended.then((code) => {
      throw new AgentGone(process.words() || `ssh ended with exit code ${String(code)}`, code)
    })
    this.#gone.catch(ignore)
  }

  /** Waits for the greeting of the shell behind a fresh `ssh`. Throws AgentGone. */
  static async greet(process: SshProcess, mark: string, loginProfile: boolean): Promise<Agent> {
    const agent = new Agent(process, mark)
    const greeting = agent.#out.read(`${mark}<`, '>', ignore)
    process.stdin.write(agentText(mark, loginProfile))
    const [version, clock] = (await Promise.race([greeting, agent.#gone])).split(' ').map(Number)
    agent.version = version ?? 0
    agent.startedAtMs = (clock ?? 0) * 1000
    return agent
  }

  get isBusy(): boolean {
    return this.#isBusy
  }

  /** Process group of the command that runs now, as soon as it is known. */
  get group(): number | undefined {
    return this.#group
  }

  /** Keeps others away until the next `ask` is over. */
  reserve(): void {
    this.#isBusy = true
  }

  /** Runs a command to its end. Only for the one who reserved the agent. Throws AgentGone. */
  async ask(command: HostCommand): Promise<AgentAnswer> {
    this.#count += 1
    const mark = `${this.#mark}${this.#count}`
    const stdout = new Collected(mostOutputBytes, 'first')
    const stderr = new Collected(mostErrorBytes + 32, 'last')
    const ends = Promise.all([
      this.#out.read(`${mark}<`, `${mark}>`, (bytes) => stdout.add(bytes)),
      this.#error.read(`${mark}<`, `${mark}>`, (bytes) => {
        stderr.add(bytes)
        this.#group ??= groupIn(stderr.text)
      }),
    ])
    this.process.stdin.write(askText(mark, command))
    try {
      const [code] = await Promise.race([ends, this.#gone])
      if (stdout.isTooMuch) throw new RangeError(`more than ${mostOutputBytes} bytes of output`)
      const words = stderr.text
      const newline = words.indexOf('\n')
      // The first line is the process group; it is gone where much was said after it.
      const said = stderr.isTooMuch ? words : words.slice(newline + 1)
      return { exitCode: Number(code), stdout: stdout.text, stderr: said.slice(-mostErrorBytes) }
    } finally {
      this.#isBusy = false
      this.#group = undefined
    }
  }

  /** Text for the shell itself. */
  tell(text: string): void {
    this.process.stdin.write(text)
  }

  /** The shell ends when its input ends; what it runs is cut off after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    this.process.stdin.end()
    const timer = setTimeout(() => this.process.kill(), graceMs)
    await this.process.ended
    clearTimeout(timer)
  }
}

/** Bytes up to a limit: the first ones or the last ones. */
class Collected {
  readonly #most: number
  readonly #keep: 'first' | 'last'
  #parts: Buffer[] = []
  #size = 0
  #isTooMuch = false

  constructor(most: number, keep: 'first' | 'last') {
    this.#most = most
    this.#keep = keep
  }

  get isTooMuch(): boolean {
    return this.#isTooMuch
  }

  get text(): string {
    return Buffer.concat(this.#parts).toString()
  }

  add(bytes: Buffer): void {
    this.#isTooMuch ||= this.#size + bytes.length > this.#most
    if (this.#isTooMuch && this.#keep === 'first') return
    this.#parts.push(bytes)
    this.#size += bytes.length
    if (this.#size <= this.#most * 2) return
    this.#parts = [Buffer.concat(this.#parts).subarray(-this.#most)]
    this.#size = this.#most
  }
}

function groupIn(text: string): number | undefined {
  const found = /^(\d+)\n/.exec(text)?.[1]
  return found === undefined ? undefined : Number(found)
}

function ignore(): void {
  // Told by whoever asks the agent.
}
