import { setTimeout as delay } from 'node:timers/promises'
import { EnvironmentError } from '../environment.ts'
import type { HostCommand, HostProcess, HostResult } from '../host.ts'
import { Agent, AgentGone } from './agent.ts'
import { ChannelCut, ChannelRefused, startChannel, type Channel } from './channel.ts'
import { channelArguments, directArguments } from './configuration.ts'
import { readFailure } from './failure.ts'
import { ConnectError, newMark, openMaster, type Master, type Variables } from './master.ts'
import type { SshOptions } from './options.ts'
import { killText, shellPatienceMs } from './remote-script.ts'
import { runOnChannel } from './run-on-channel.ts'
import { startSsh } from './ssh-process.ts'
import { Turns } from './turns.ts'
import { whenAborted } from './when-aborted.ts'

export interface ConnectionSurroundings {
  /** What ssh itself sees. */
  readonly variables: Variables
  readonly now: () => number
  /** From 0 to 1. */
  readonly random: () => number
}

/** Two shells for commands and two channels for streams: sshd allows ten, and frees them late. */
const mostAgents = 2
const mostStreams = 2
const defaultTimeoutMs = 60_000
const triesWhenBusy = 8
const longestBusyWaitMs = 3000
const triesOfChannel = 3
/** How long no channel is asked for after some were refused. */
const refusalMs = 60_000
/** How long a command that was killed may take to go; then the connection is given up. */
const killPatienceMs = 10_000
const closeGraceMs = 2000
/** Longer commands and inputs go over a channel of their own. */
const mostCharacters = 32_768

interface Live {
  readonly master: Master
  readonly agents: Agent[]
  /** The host takes no second shell. */
  isFull: boolean
  opening: Promise<void> | undefined
  /** Until then, whoever needs a channel makes a connection of its own. */
  refusesUntilMs: number
  readonly keepAlive: NodeJS.Timeout
  readonly gone: Promise<void>
}

/**
 * The one connection to a host: made when it is first needed, and again after it was lost. Every call throws
 * EnvironmentError when the host cannot be asked.
 */
export class SshConnection {
  readonly name: string
  readonly #options: SshOptions
  readonly #surroundings: ConnectionSurroundings
  readonly #asks = new Turns(mostAgents)
  readonly #streams = new Turns(mostStreams)
  readonly #stop = new AbortController()
  #live: Promise<Live> | undefined
  #failures = 0
  #failure: ConnectError | undefined
  #notBefore = 0
  #open = 0
  readonly #ending = new Set<Promise<unknown>>()
  #agentFreed = Promise.withResolvers<void>()

  constructor(options: SshOptions, surroundings: ConnectionSurroundings) {
    const { host, user, port } = options
    this.name = `${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`
    this.#options = options
    this.#surroundings = surroundings
  }

  /** Runs a program to its end. */
  async run(command: HostCommand, signal: AbortSignal): Promise<HostResult> {
    this.#mustBeOpen()
    return isSmall(command) ? this.#ask(command, signal) : this.#stream(command, signal)
  }

  /** Starts a program that is talked to. */
  async open(argv: readonly string[], signal: AbortSignal): Promise<HostProcess> {
    this.#mustBeOpen()
    // One at a time shares the connection; more than that would leave no channel for streams.
    const isShared = this.#open === 0
    this.#open += 1
    const done = isShared ? await this.#streams.take('normal', signal) : () => undefined
    const end = () => {
      this.#open -= 1
      done()
    }
    let channel: Channel
    try {
      channel = isShared
        ? await this.#channel({ argv }, signal)
        : await this.#direct(await this.#connected(signal), { argv }, signal)
    } catch (error) {
      end()
      throw this.#explain(error)
    }
    const release = whenAborted(signal, () => channel.process.kill())
    const ended = channel.ended.then((exitCode) => {
      release()
      end()
      const message =
        exitCode === undefined
          ? readFailure(this.name, channel.process.words()).message
          : `It ended with exit code ${exitCode}. ${channel.stderr()}`.trim()
      return { exitCode: exitCode ?? null, message }
    })
    return { stdin: channel.process.stdin, stdout: channel.stdout, ended }
  }

  /** Ends the connection. What jobs the host runs goes on. */
  async close(): Promise<void> {
    this.#stop.abort()
    const live = await this.#live?.catch(() => undefined)
    if (live !== undefined) await this.#end(live)
    await Promise.allSettled(this.#ending)
  }

  async #ask(command: HostCommand, signal: AbortSignal): Promise<HostResult> {
    const done = await this.#asks.take(command.priority ?? 'normal', signal)
    let agent: Agent | undefined
    let live: Live | undefined
    try {
      live = await this.#connected(signal)
      agent = await this.#freeAgent(live, signal)
      return await this.#within(agent.ask(command), command, signal)
    } catch (error) {
      if (live !== undefined && agent?.isBusy === true) this.#own(this.#abandon(live, agent))
      throw this.#explain(error)
    } finally {
      this.#agentFreed.resolve()
      this.#agentFreed = Promise.withResolvers()
      done()
    }
  }

  async #stream(command: HostCommand, signal: AbortSignal): Promise<HostResult> {
    const done = await this.#streams.take(command.priority ?? 'normal', signal)
    let channel: Channel | undefined
    try {
      channel = await this.#channel(command, signal)
      return await this.#within(runOnChannel(channel, command), command, signal)
    } catch (error) {
      if (channel !== undefined) {
        channel.process.kill()
        this.#own(this.#killGroup(channel.group))
      }
      throw this.#explain(error)
    } finally {
      done()
    }
  }

  /** Reserves an agent that can take a command now: the first, a second one, or whichever is free first. */
  async #freeAgent(live: Live, signal: AbortSignal): Promise<Agent> {
    for (;;) {
      const free = live.agents.find((agent) => !agent.isBusy)
      if (free !== undefined) {
        free.reserve()
        return free
      }
      if (await this.#openSecondAgent(live)) continue
      await orAborted(Promise.race([this.#agentFreed.promise, live.gone]), signal)
      if (this.#stop.signal.aborted) this.#mustBeOpen()
    }
  }

  /** Whether there may be a free agent now that was not there before. */
  async #openSecondAgent(live: Live): Promise<boolean> {
    if (live.agents.length >= mostAgents || live.isFull) return false
    live.opening ??= this.#secondAgent(live).finally(() => (live.opening = undefined))
    await live.opening
    return true
  }

  async #secondAgent(live: Live): Promise<void> {
    const { files } = live.master
    const process = startSsh(channelArguments(this.#options, files), this.#surroundings.variables)
    const timer = setTimeout(() => process.kill(), defaultTimeoutMs)
    try {
      const agent = await Agent.greet(process, newMark(), this.#options.loginProfile)
      live.agents.push(agent)
      void process.ended.then(() => live.agents.splice(live.agents.indexOf(agent), 1))
    } catch (error) {
      if (!(error instanceof AgentGone)) throw error
      live.isFull = true
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends a command whose answer nobody waits for, so that its shell can take others. */
  async #abandon(live: Live, agent: Agent): Promise<void> {
    await this.#openSecondAgent(live)
    const deadline = performance.now() + killPatienceMs
    let isTold = false
    while (agent.isBusy && performance.now() < deadline) {
      const { group } = agent
      const other = live.agents.find((each) => !each.isBusy)
      if (other === undefined && live.isFull) break
      if (!isTold && other !== undefined && group !== undefined) {
        other.tell(killText(group))
        isTold = true
      }
      await delay(20)
    }
    if (!agent.isBusy) {
      this.#agentFreed.resolve()
      this.#agentFreed = Promise.withResolvers()
    } else if (agent === live.master.agent) this.#drop(live)
    else agent.process.kill()
  }

  /** Ends what an aborted stream left running on the host, if the host can be told. */
  async #killGroup(group: number): Promise<void> {
    const live = await this.#live?.catch(() => undefined)
    live?.agents.find((agent) => !agent.isBusy)?.tell(killText(group))
  }

  /** A channel of the shared connection; a connection of its own where that takes no more. */
  async #channel(command: Pick<HostCommand, 'argv' | 'variables'>, signal: AbortSignal): Promise<Channel> {
    const live = await this.#connected(signal)
    const { now, random, variables } = this.#surroundings
    for (let attempt = 1; attempt <= triesOfChannel && now() >= live.refusesUntilMs; attempt += 1) {
      const ssh = startSsh(channelArguments(this.#options, live.master.files), variables)
      try {
        return await this.#begin(ssh, command, signal)
      } catch (error) {
        if (!(error instanceof ChannelRefused)) throw error
        if (await this.#giveUpSecondAgent(live)) continue
        // sshd frees channels late.
        await delay(100 * 2 ** attempt * (0.5 + random()), undefined, { signal })
      }
    }
    if (now() >= live.refusesUntilMs) live.refusesUntilMs = now() + refusalMs
    return this.#direct(live, command, signal)
  }

  /** Makes room for a stream. Returns whether there was a second agent to end. */
  async #giveUpSecondAgent(live: Live): Promise<boolean> {
    live.isFull = true
    const second = live.agents.find((agent) => agent !== live.master.agent && !agent.isBusy)
    second?.reserve()
    await second?.end(closeGraceMs)
    return second !== undefined
  }

  async #direct(
    live: Live,
    command: Pick<HostCommand, 'argv' | 'variables'>,
    signal: AbortSignal,
  ): Promise<Channel> {
    const { files, askpass } = live.master
    const variables = { ...this.#surroundings.variables, ...askpass?.variables }
    askpass?.fill()
    try {
      return await this.#begin(startSsh(directArguments(this.#options, files), variables), command, signal)
    } finally {
      askpass?.empty()
    }
  }

  async #begin(
    ssh: ReturnType<typeof startSsh>,
    command: Pick<HostCommand, 'argv' | 'variables'>,
    signal: AbortSignal,
  ): Promise<Channel> {
    const release = whenAborted(AbortSignal.any([signal, AbortSignal.timeout(defaultTimeoutMs)]), () =>
      ssh.kill(),
    )
    try {
      return await startChannel(ssh, newMark(), command)
    } catch (error) {
      ssh.kill()
      signal.throwIfAborted()
      throw error
    } finally {
      release()
    }
  }

  async #connected(signal: AbortSignal): Promise<Live> {
    this.#mustBeOpen()
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

  async #establish(): Promise<Live> {
    const waitMs = this.#notBefore - this.#surroundings.now()
    if (this.#failure !== undefined && waitMs > 0)
      throw new ConnectError({
        kind: this.#failure.kind,
        message: `${this.#failure.message} The next try is in ${Math.ceil(waitMs / 1000)} s.`,
      })
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
        return await openMaster(this.name, this.#options, variables, this.#stop.signal)
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error
        if (error.kind === 'busy' && attempt < triesWhenBusy) {
          const waitMs = Math.min(longestBusyWaitMs, 200 * 2 ** attempt) * (0.5 + random())
          await delay(waitMs, undefined, { signal: this.#stop.signal })
          continue
        }
        this.#failure = error
        this.#failures += 1
        // A password that is tried too often may be locked.
        const mostMs = error.kind === 'denied' ? 60_000 : 10_000
        this.#notBefore = now() + Math.min(mostMs, 500 * 2 ** this.#failures) * (0.5 + random() / 2)
        throw error
      }
    }
  }

  #bringToLife(master: Master): Live {
    const keepAlive = setInterval(() => {
      for (const agent of live.agents) agent.tell('\n')
    }, shellPatienceMs / 3)
    keepAlive.unref()
    const live: Live = {
      master,
      agents: [master.agent],
      isFull: false,
      opening: undefined,
      refusesUntilMs: 0,
      keepAlive,
      gone: this.#bury(master, keepAlive, () => live),
    }
    this.#own(live.gone)
    return live
  }

  /** Waits for the end of a connection, so that the next one who asks gets a new one. */
  async #bury(master: Master, keepAlive: NodeJS.Timeout, live: () => Live): Promise<void> {
    await master.agent.process.ended
    clearInterval(keepAlive)
    if ((await this.#live?.catch(() => undefined)) === live()) this.#live = undefined
    await master.dispose()
  }

  #drop(live: Live): void {
    live.master.agent.process.kill()
    this.#own(live.gone)
  }

  async #end(live: Live): Promise<void> {
    await Promise.all(live.agents.map((agent) => agent.end(closeGraceMs)))
    await live.gone
  }

  /** The work's result, unless time runs out or the signal aborts first. */
  async #within<T>(work: Promise<T>, { timeoutMs, argv }: HostCommand, signal: AbortSignal): Promise<T> {
    work.catch(() => undefined)
    const limitMs = timeoutMs ?? defaultTimeoutMs
    const timer = Promise.withResolvers<never>()
    const timeout = setTimeout(() => {
      timer.reject(
        new EnvironmentError(
          `The host ${this.name} did not carry out ${argv[0] ?? ''} within ${limitMs} ms. It may be overloaded, or its file system may hang.`,
        ),
      )
    }, limitMs)
    try {
      return await orAborted(Promise.race([work, timer.promise]), signal)
    } finally {
      clearTimeout(timeout)
    }
  }

  #explain(error: unknown): unknown {
    if (error instanceof ConnectError) return new EnvironmentError(error.message, { cause: error })
    if (error instanceof RangeError)
      return new EnvironmentError(`A command on ${this.name} gave ${error.message}.`, { cause: error })
    if (!(error instanceof AgentGone || error instanceof ChannelCut || error instanceof ChannelRefused))
      return error
    if (this.#stop.signal.aborted) return new EnvironmentError(`The connection to ${this.name} is closed.`)
    const { message } = readFailure(this.name, error.message)
    return new EnvironmentError(
      `The connection was cut off; nobody knows how far the last command came. ${message}`,
      { cause: error },
    )
  }

  #mustBeOpen(): void {
    if (this.#stop.signal.aborted) throw new EnvironmentError(`The connection to ${this.name} is closed.`)
  }

  #own(work: Promise<unknown>): void {
    const owned: Promise<unknown> = work.catch(() => undefined).finally(() => this.#ending.delete(owned))
    this.#ending.add(owned)
  }
}

/** Whether a command fits into a line for a shell on the host. */
function isSmall({ argv, variables = {}, input, output }: HostCommand): boolean {
  if (output !== undefined || (input !== undefined && typeof input !== 'string')) return false
  if (input?.includes('\0') === true) return false
  const words = [...argv, ...Object.entries(variables).flat(), input ?? '']
  return words.reduce((sum, word) => sum + word.length, 0) <= mostCharacters
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Its failure is nobody's business once the signal has aborted.
  work.catch(() => undefined)
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const release = whenAborted(signal, () => aborted.reject(signal.reason as Error))
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    release()
  }
}
