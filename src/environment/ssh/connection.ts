import { setTimeout as delay } from 'node:timers/promises'
import { EnvironmentError } from '../environment.ts'
import type { HostCommand, HostProcess, HostResult } from '../host.ts'
import { AgentGone, type Agent } from './agent.ts'
import { ChannelCut, ChannelRefused, startChannel, type Channel } from './channel.ts'
import { channelArguments, directArguments } from './configuration.ts'
import { readFailure } from './failure.ts'
import { Line, type ConnectionSurroundings, type Live } from './line.ts'
import { ConnectError, newMark } from './master.ts'
import type { SshOptions } from './options.ts'
import { runOnChannel } from './run-on-channel.ts'
import { mostShells } from './shells.ts'
import { startSsh } from './ssh-process.ts'
import { Turns } from './turns.ts'
import { orAborted, whenAborted } from './when-aborted.ts'

/** Channels for streams beside those of shells: sshd allows ten, and frees them late. */
const mostStreams = 2
const defaultTimeoutMs = 60_000
const triesOfChannel = 3
/** How long no channel is asked for after some were refused. */
const refusalMs = 60_000
/** Longer commands and inputs go over a channel of their own. */
const mostCharacters = 32_768

/**
 * Programs on a host, over one connection: small ones in shells that stay, others over channels of their own. Every call
 * throws EnvironmentError when the host cannot be asked.
 */
export class SshConnection {
  readonly name: string
  readonly #options: SshOptions
  readonly #surroundings: ConnectionSurroundings
  readonly #asks = new Turns(mostShells)
  readonly #streams = new Turns(mostStreams)
  readonly #line: Line
  #isClosed = false
  #open = 0
  readonly #ending = new Set<Promise<unknown>>()

  constructor(options: SshOptions, surroundings: ConnectionSurroundings) {
    const { host, user, port } = options
    this.name = `${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`
    this.#options = options
    this.#surroundings = surroundings
    this.#line = new Line(this.name, options, surroundings)
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
          ? wholeFailure(this.name, channel.process.words())
          : `It ended with exit code ${exitCode}. ${channel.stderr()}`.trim()
      return { exitCode: exitCode ?? null, message }
    })
    return { stdin: channel.process.stdin, stdout: channel.stdout, ended }
  }

  /** Has whoever asks next try at once, although the last try failed just now. */
  tryAgain(): void {
    this.#line.tryAgain()
  }

  /** Ends the connection. What jobs the host runs goes on. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#line.close()
    await Promise.allSettled(this.#ending)
  }

  async #ask(command: HostCommand, signal: AbortSignal): Promise<HostResult> {
    const done = await this.#asks.take(command.priority ?? 'normal', signal)
    let agent: Agent | undefined
    let live: Live | undefined
    try {
      live = await this.#connected(signal)
      agent = await live.shells.reserve(signal, () => this.#mustBeOpen())
      return await this.#within(agent.ask(command), command, signal)
    } catch (error) {
      if (live !== undefined && agent?.isBusy === true) this.#own(this.#abandon(live, agent))
      throw this.#explain(error)
    } finally {
      live?.shells.freed()
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

  /** Ends a command whose answer nobody waits for. */
  async #abandon(live: Live, agent: Agent): Promise<void> {
    if (!(await live.shells.abandon(agent))) this.#line.drop(live)
  }

  /** Ends what an aborted stream left running on the host, if the host can be told. */
  async #killGroup(group: number): Promise<void> {
    const live = await this.#line.standing()
    live?.shells.killGroup(group)
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
        if (await live.shells.giveUpSecond()) continue
        // sshd frees channels late.
        await delay(100 * 2 ** attempt * (0.5 + random()), undefined, { signal })
      }
    }
    if (now() >= live.refusesUntilMs) live.refusesUntilMs = now() + refusalMs
    return this.#direct(live, command, signal)
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
    return this.#line.connected(signal)
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
    if (error instanceof ConnectError)
      return new EnvironmentError(error.message, { cause: error, parts: error.failure })
    if (error instanceof RangeError)
      return new EnvironmentError(`A command on ${this.name} gave ${error.message}.`, { cause: error })
    if (!(error instanceof AgentGone || error instanceof ChannelCut || error instanceof ChannelRefused))
      return error
    if (this.#isClosed) return new EnvironmentError(`The connection to ${this.name} is closed.`)
    return new EnvironmentError(
      `The connection was cut off; nobody knows how far the last command came. ${wholeFailure(this.name, error.message)}`,
      { cause: error },
    )
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new EnvironmentError(`The connection to ${this.name} is closed.`)
  }

  #own(work: Promise<unknown>): void {
    const owned: Promise<unknown> = work.catch(() => undefined).finally(() => this.#ending.delete(owned))
    this.#ending.add(owned)
  }
}

function wholeFailure(name: string, words: string): string {
  const { message, fix } = readFailure(name, words)
  return `${message} ${fix}`
}

/** Whether a command fits into a line for a shell on the host. */
function isSmall({ argv, variables = {}, input, output }: HostCommand): boolean {
  if (output !== undefined || (input !== undefined && typeof input !== 'string')) return false
  if (input?.includes('\0') === true) return false
  const words = [...argv, ...Object.entries(variables).flat(), input ?? '']
  return words.reduce((sum, word) => sum + word.length, 0) <= mostCharacters
}
