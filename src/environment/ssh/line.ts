import { setTimeout as delay } from 'node:timers/promises'
import { channelArguments } from './configuration.ts'
import { ConnectError, openMaster, type Master, type Variables } from './master.ts'
import type { SshOptions } from './options.ts'
import { shellPatienceMs } from './remote-script.ts'
import { Shells } from './shells.ts'
import { startSsh } from './ssh-process.ts'
import { orAborted } from './when-aborted.ts'

export interface ConnectionSurroundings {
  /** What ssh itself sees. */
  readonly variables: Variables
  readonly now: () => number
  /** From 0 to 1. */
  readonly random: () => number
}

/** A connection that stands. */
export interface Live {
  readonly master: Master
  readonly shells: Shells
  /** Until then, whoever needs a channel makes a connection of its own. */
  refusesUntilMs: number
  /** Settles when it is gone, with all that was made for it here. */
  readonly gone: Promise<void>
}

const triesWhenBusy = 8
const longestBusyWaitMs = 3000

/** The one connection to a host: made when it is first needed, and again after it was lost. */
export class Line {
  readonly #name: string
  readonly #options: SshOptions
  readonly #surroundings: ConnectionSurroundings
  readonly #stop = new AbortController()
  #live: Promise<Live> | undefined
  readonly #ending = new Set<Promise<void>>()
  #failures = 0
  #failure: ConnectError | undefined
  #notBefore = 0

  constructor(name: string, options: SshOptions, surroundings: ConnectionSurroundings) {
    this.#name = name
    this.#options = options
    this.#surroundings = surroundings
  }

  /** Throws ConnectError where the host cannot be reached, also without a try where the last one was just now. */
  async connected(signal: AbortSignal): Promise<Live> {
    if (this.#live === undefined) {
      const live = this.#establish()
      this.#live = live
      // Forgotten only when it is kept: it may fail before that.
      live.catch(() => {
        if (this.#live === live) this.#live = undefined
      })
    }
    return orAborted(this.#live, signal)
  }

  /** The connection, if there is one already. */
  async standing(): Promise<Live | undefined> {
    return this.#live?.catch(() => undefined)
  }

  /** Has whoever asks next try at once, although the last try failed just now. */
  tryAgain(): void {
    this.#notBefore = 0
  }

  /** Gives a connection up that does not answer any more. */
  drop({ master }: Live): void {
    master.agent.process.kill()
  }

  /** Ends the connection, and resolves when nothing of it is left here. */
  async close(): Promise<void> {
    this.#stop.abort()
    const live = await this.standing()
    await live?.shells.end()
    await Promise.allSettled(this.#ending)
  }

  async #establish(): Promise<Live> {
    const waitMs = this.#notBefore - this.#surroundings.now()
    if (this.#failure !== undefined && waitMs > 0)
      throw new ConnectError(this.#failure.failure, ` The next try is in ${Math.ceil(waitMs / 1000)} s.`)
    const master = await this.#openPatiently()
    this.#failures = 0
    this.#failure = undefined
    return this.#bringToLife(master)
  }

  /** Tries again where the host has too many connections just now; holds off after a failure. */
  async #openPatiently(): Promise<Master> {
    const { variables, random, now } = this.#surroundings
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await openMaster(this.#name, this.#options, variables, this.#stop.signal)
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error
        if (error.failure.kind === 'busy' && attempt < triesWhenBusy) {
          const waitMs = Math.min(longestBusyWaitMs, 200 * 2 ** attempt) * (0.5 + random())
          await delay(waitMs, undefined, { signal: this.#stop.signal })
          continue
        }
        this.#failure = error
        this.#failures += 1
        // A password that is tried too often may be locked.
        const mostMs = error.failure.kind === 'denied' ? 60_000 : 10_000
        this.#notBefore = now() + Math.min(mostMs, 500 * 2 ** this.#failures) * (0.5 + random() / 2)
        throw error
      }
    }
  }

  #bringToLife(master: Master): Live {
    const gone = this.#bury(master, () => live)
    const ending = gone.catch(() => undefined).finally(() => this.#ending.delete(ending))
    this.#ending.add(ending)
    const { variables } = this.#surroundings
    const shells = new Shells(master.agent, {
      start: () => startSsh(channelArguments(this.#options, master.files), variables),
      loginProfile: this.#options.loginProfile,
      gone,
    })
    const keepAlive = setInterval(() => shells.keepAlive(), shellPatienceMs / 3)
    keepAlive.unref()
    void ending.then(() => clearInterval(keepAlive))
    const live: Live = { master, shells, refusesUntilMs: 0, gone }
    return live
  }

  /** Waits for the end of a connection, so that the next one who asks gets a new one. */
  async #bury(master: Master, live: () => Live): Promise<void> {
    await master.agent.process.ended
    if ((await this.standing()) === live()) this.#live = undefined
    await master.dispose()
  }
}
