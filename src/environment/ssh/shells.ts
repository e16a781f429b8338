import { setTimeout as delay } from 'node:timers/promises'
import { Agent, AgentGone } from './agent.ts'
import { newMark } from './master.ts'
import { killText } from './remote-script.ts'
import type { SshProcess } from './ssh-process.ts'
import { orAborted } from './when-aborted.ts'

export interface ShellsSurroundings {
  /** Starts an `ssh` that shares the connection. */
  readonly start: () => SshProcess
  readonly loginProfile: boolean
  /** Settles when the connection is gone. */
  readonly gone: Promise<void>
}

/** Two shells for commands: sshd allows ten channels, and frees them late. */
export const mostShells = 2
const greetingMs = 60_000
/** How long a command that was killed may take to go; then the connection is given up. */
const killPatienceMs = 10_000
const closeGraceMs = 2000

/** The shells of one connection, which run a command each at a time. The second one is opened when it is needed. */
export class Shells {
  readonly #first: Agent
  readonly #all: Agent[]
  readonly #surroundings: ShellsSurroundings
  /** The host takes no second one. */
  #isFull = false
  #opening: Promise<void> | undefined
  #freed = Promise.withResolvers<void>()

  constructor(first: Agent, surroundings: ShellsSurroundings) {
    this.#first = first
    this.#all = [first]
    this.#surroundings = surroundings
  }

  /** One that can take a command now: the first, a second one, or whichever is free first. `check` may throw. */
  async reserve(signal: AbortSignal, check: () => void): Promise<Agent> {
    for (;;) {
      const free = this.#all.find((agent) => !agent.isBusy)
      if (free !== undefined) {
        free.reserve()
        return free
      }
      if (await this.#openSecond()) continue
      await orAborted(Promise.race([this.#freed.promise, this.#surroundings.gone]), signal)
      check()
    }
  }

  /** Says that a command is over, or that nobody waits for it any more. */
  freed(): void {
    this.#freed.resolve()
    this.#freed = Promise.withResolvers()
  }

  /**
   * Ends a command whose answer nobody waits for, so that its shell can take others. False where that shell is lost,
   * and it is the one that the connection lives by.
   */
  async abandon(agent: Agent): Promise<boolean> {
    await this.#openSecond()
    const deadline = performance.now() + killPatienceMs
    let isTold = false
    while (agent.isBusy && performance.now() < deadline) {
      const { group } = agent
      const other = this.#all.find((each) => !each.isBusy)
      if (other === undefined && this.#isFull) break
      if (!isTold && other !== undefined && group !== undefined) {
        other.tell(killText(group))
        isTold = true
      }
      await delay(20)
    }
    if (!agent.isBusy) this.freed()
    else if (agent === this.#first) return false
    else agent.process.kill()
    return true
  }

  /** Makes room for a stream. Returns whether there was a second shell to end. */
  async giveUpSecond(): Promise<boolean> {
    this.#isFull = true
    const second = this.#all.find((agent) => agent !== this.#first && !agent.isBusy)
    second?.reserve()
    await second?.end(closeGraceMs)
    return second !== undefined
  }

  /** Kills what runs as a process group on the host, if one of the shells can do it now. */
  killGroup(group: number): void {
    this.#all.find((agent) => !agent.isBusy)?.tell(killText(group))
  }

  /** A line for each, so that none thinks that nobody is there. */
  keepAlive(): void {
    for (const agent of this.#all) agent.tell('\n')
  }

  async end(): Promise<void> {
    await Promise.all(this.#all.map((agent) => agent.end(closeGraceMs)))
  }

  /** Whether there may be a free shell now that was not there before. */
  async #openSecond(): Promise<boolean> {
    if (this.#all.length >= mostShells || this.#isFull) return false
    this.#opening ??= this.#greetSecond().finally(() => (this.#opening = undefined))
    await this.#opening
    return true
  }

  async #greetSecond(): Promise<void> {
    const process = this.#surroundings.start()
    const timer = setTimeout(() => process.kill(), greetingMs)
    try {
      const agent = await Agent.greet(process, newMark(), this.#surroundings.loginProfile)
      this.#all.push(agent)
      void process.ended.then(() => this.#all.splice(this.#all.indexOf(agent), 1))
    } catch (error) {
      if (!(error instanceof AgentGone)) throw error
      this.#isFull = true
    } finally {
      clearTimeout(timer)
    }
  }
}
