import type { CheckFinding, Environment } from '../environment/environment.ts'
import { namedKind } from '../workflow/environment.ts'
import type { LiveEnvironment } from '../environment/registry.ts'
import { Problem, toProblem } from '../problem.ts'
import type { NamedEnvironments } from '../store/named-environments.ts'
import type {
  EnvironmentDefinition,
  EnvironmentDescription,
  EnvironmentHealth,
  Environments,
  EnvironmentState,
} from './contract.ts'
import type { Trackers } from './trackers.ts'

/** What an execution that has not ended has on one of its environments. */
export interface EnvironmentUse {
  /** Absent while the execution waits for its turn. */
  readonly environment: Environment | undefined
  readonly state: EnvironmentState
}

interface Parts {
  readonly trackers: Trackers
  /** Absent where none are kept. */
  readonly named: NamedEnvironments | undefined
  readonly uses: () => readonly EnvironmentUse[]
  /** Milliseconds since 1970. */
  readonly now: () => number
}

type Counts = EnvironmentDescription['jobs']

const nothing: Counts = { ready: 0, submitted: 0, running: 0, done: 0, failed: 0 }
/** The preferences are written as a whole, so they stay small. */
const mostNamed = 1000
const mostOptionLetters = 65_536
/** Longest time that looking at an environment may take. */
const checkMs = 120_000
const hostsMs = 10_000

type Told = Pick<EnvironmentDescription, 'name' | 'kind' | 'isNamed' | 'options' | 'secrets'>

/** The environments of a server: those with names, and those that executions have described and use. */
export class ServerEnvironments implements Environments {
  readonly #parts: Parts
  /** What the last check said, by the environment's name. */
  readonly #checks = new Map<string, EnvironmentHealth>()
  /** Environment jobs of executions that have ended since the server has started, by the environment's name. */
  readonly #past = new Map<string, { done: number; failed: number }>()
  #lastChange: Promise<unknown> = Promise.resolve()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get kinds(): readonly { readonly kind: string; readonly secrets: readonly string[] }[] {
    const { registry } = this.#parts.trackers
    return registry.kinds.map((kind) => ({ kind, secrets: registry.secretsOf(kind) }))
  }

  async list(): Promise<readonly EnvironmentDescription[]> {
    const { trackers, named } = this.#parts
    const live = await trackers.registry.all()
    const kept = (named?.list() ?? []).map((definition) => {
      const { name, kind, options, secrets } = definition
      return this.#describeWithHosts(
        { name, kind, isNamed: true, options, secrets },
        live.find((each) => each.definition === name),
      )
    })
    const others = live
      .filter(({ definition }) => definition === undefined)
      .map((each) => {
        const { kind, options, environment } = each
        const told = { name: environment.name, kind, isNamed: false, options, secrets: [] }
        return this.#describeWithHosts(told, each)
      })
    return Promise.all([...kept, ...others])
  }

  async #describeWithHosts(told: Told, live: LiveEnvironment | undefined): Promise<EnvironmentDescription> {
    const description = this.#describe(told, live)
    const hosts = await live?.environment.hosts?.(AbortSignal.timeout(hostsMs)).catch(() => undefined)
    return hosts === undefined ? description : { ...description, hosts }
  }

  async add(definition: EnvironmentDefinition): Promise<{ readonly isInUse: boolean }> {
    return this.#inTurn(async () => this.#add(definition))
  }

  async remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const named = this.#named()
      if (named.find(name) === undefined) throw this.#unknown(name)
      const { trackers } = this.#parts
      trackers.registry.leaving.add(name)
      try {
        this.#refuseInUse(name)
        await named.remove(name)
        this.#checks.delete(name)
        await trackers.forget(name)
      } finally {
        trackers.registry.leaving.delete(name)
      }
    })
  }

  async check(name: string, signal: AbortSignal): Promise<readonly CheckFinding[]> {
    const findings = await this.#look(name, AbortSignal.any([signal, AbortSignal.timeout(checkMs)]))
    signal.throwIfAborted()
    const bad = findings.filter(({ isGood }) => !isGood)
    this.#checks.set(name, {
      state: bad.length === 0 ? 'good' : 'bad',
      message: (bad.length === 0 ? findings : bad)
        .map(({ what, message }) => `${what}: ${message}`)
        .join(' '),
      checkedAt: this.#parts.now(),
    })
    return findings
  }

  /** Adds up what an execution that ends has done. */
  ended(uses: readonly EnvironmentUse[]): void {
    for (const { environment, state } of uses) {
      if (environment === undefined) continue
      const past = this.#past.get(environment.name) ?? { done: 0, failed: 0 }
      this.#past.set(environment.name, { done: past.done + state.done, failed: past.failed + state.failed })
    }
  }

  async #add({ name, kind, options, secrets, isReplacing }: EnvironmentDefinition) {
    const named = this.#named()
    this.#checkOptions(kind, options, secrets)
    const before = named.find(name)
    if (before !== undefined && !isReplacing)
      throw new Problem('environment-conflict', `There is an environment named ${name} already.`, {
        hint: 'Remove it first, or replace it with --replace.',
      })
    if (before === undefined && named.list().length >= mostNamed)
      throw new Problem('environment-conflict', `Expected at most ${mostNamed} named environments.`)
    const isInUse = this.#executionsOn(name) > 0
    const isSame = before?.kind === kind && JSON.stringify(before.options) === JSON.stringify(options)
    // Jobs under way are found again by what the environment was made of. A secret may change under them.
    if (isInUse && !isSame) this.#refuseInUse(name)
    await named.keep({ name, kind, options }, secrets)
    const { trackers } = this.#parts
    if (!isInUse && this.#executionsOn(name) === 0) await trackers.forget(name)
    this.#checks.delete(name)
    await trackers.resumeChores(name)
    return { isInUse }
  }

  #checkOptions(
    kind: string,
    options: EnvironmentDefinition['options'],
    secrets: EnvironmentDefinition['secrets'],
  ): void {
    const { registry } = this.#parts.trackers
    try {
      const secretNames = registry.secretsOf(kind)
      const open = Object.keys(options).find((option) => secretNames.includes(option))
      if (open !== undefined)
        throw new Problem('parameter-invalid', `The option ${open} is secret.`, {
          hint: `Give it as a secret, then it is kept encrypted: --secret ${open}`,
        })
      const stranger = Object.keys(secrets).find((option) => !secretNames.includes(option))
      if (stranger !== undefined)
        throw new Problem('parameter-invalid', `${stranger} is no secret option of ${kind}.`, {
          hint: secretNames.length === 0 ? `${kind} has none.` : `It has: ${secretNames.join(', ')}.`,
        })
      registry.validateOptions(kind, { ...options, ...secrets })
    } catch (error) {
      const { message, hint } = toProblem(error)
      throw new Problem('parameter-invalid', message, hint === undefined ? {} : { hint })
    }
    if (JSON.stringify([options, secrets]).length > mostOptionLetters)
      throw new Problem('parameter-invalid', `Expected options of at most ${mostOptionLetters} letters.`)
  }

  async #look(name: string, signal: AbortSignal): Promise<readonly CheckFinding[]> {
    const { trackers, named } = this.#parts
    const live = (await trackers.registry.all()).find(({ environment }) => environment.name === name)
    const isKept = named?.find(name) !== undefined
    let environment: Environment | undefined
    try {
      environment = isKept
        ? await trackers.registry.get({ kind: namedKind, name, options: {} })
        : live?.environment
    } catch (error) {
      return [badFinding('options', error)]
    }
    if (environment === undefined) throw this.#unknown(name)
    try {
      if (environment.inspect !== undefined) return await environment.inspect(signal)
      await environment.check(signal)
      return [{ what: 'environment', isGood: true, message: 'It answers.' }]
    } catch (error) {
      return [badFinding('environment', error)]
    }
  }

  #describe(told: Told, live: LiveEnvironment | undefined): EnvironmentDescription {
    const environment = live?.environment
    const uses = this.#parts
      .uses()
      .filter((use) =>
        use.environment === undefined
          ? told.isNamed && use.state.kind === namedKind && use.state.name === told.name
          : use.environment === environment,
      )
    const past = environment && this.#past.get(environment.name)
    const jobs = uses.reduce((sum, { state }) => addCounts(sum, state), { ...nothing, ...past })
    return {
      ...told,
      capabilities: environment?.capabilities,
      health: this.#healthOf(told.name, environment),
      jobs,
    }
  }

  #healthOf(name: string, environment: Environment | undefined): EnvironmentHealth {
    const tracker = environment && this.#parts.trackers.find(environment)
    const pausedBecause = tracker?.activity.pausedBecause
    if (pausedBecause !== undefined)
      return { state: 'bad', message: pausedBecause, checkedAt: this.#parts.now() }
    const checked = this.#checks.get(name)
    if (checked !== undefined) return checked
    const answeredAt = tracker?.answeredAt
    return answeredAt === undefined
      ? { state: 'unknown', message: 'It was not checked yet.', checkedAt: undefined }
      : { state: 'good', message: 'It has told of its jobs.', checkedAt: answeredAt }
  }

  #named(): NamedEnvironments {
    const { named } = this.#parts
    if (named !== undefined) return named
    throw new Problem('environment-conflict', 'Named environments are kept by a server.')
  }

  #executionsOn(name: string): number {
    return this.#parts.uses().filter(({ state }) => state.kind === namedKind && state.name === name).length
  }

  #refuseInUse(name: string): void {
    const executions = this.#executionsOn(name)
    if (executions > 0)
      throw new Problem(
        'environment-conflict',
        `${executions} ${executions === 1 ? 'execution uses' : 'executions use'} the environment ${name}.`,
        { hint: 'Let them end, or cancel them. Secrets alone may be replaced at any time.' },
      )
  }

  #unknown(name: string): Problem {
    const names = this.#parts.named?.list().map((each) => each.name) ?? []
    return new Problem('environment-unknown', `There is no environment named ${JSON.stringify(name)}.`, {
      hint: names.length === 0 ? 'There are none with names yet.' : `There are: ${names.join(', ')}.`,
    })
  }

  async #inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const done = this.#lastChange.then(change)
    this.#lastChange = done.catch(() => undefined)
    return done
  }
}

function addCounts(sum: Counts, more: Counts): Counts {
  return {
    ready: sum.ready + more.ready,
    submitted: sum.submitted + more.submitted,
    running: sum.running + more.running,
    done: sum.done + more.done,
    failed: sum.failed + more.failed,
  }
}

function badFinding(what: string, error: unknown): CheckFinding {
  const { message, hint } = toProblem(error)
  return { what, isGood: false, message, ...(hint !== undefined && { fix: hint }) }
}
