import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { z } from 'zod'
import { Problem } from '../problem.ts'
import { namedKind, type EnvironmentReference } from '../workflow/environment.ts'
import type { Environment } from './environment.ts'
import { blankSecrets, concealSecrets } from './conceal-secrets.ts'
import type { EnvironmentPlugin, PluginContext } from './plugin.ts'
import { SshHosts } from './ssh/ssh-hosts.ts'

/**
 * The plugins in the folders of `directory`, by kind: each folder's `index.ts`, or `index.js` once built. A folder
 * without either is none. Throws Problem('internal') for a folder whose index exports no fit `plugin`.
 */
export async function loadPlugins(directory: URL): Promise<ReadonlyMap<string, EnvironmentPlugin>> {
  const plugins = new Map<string, EnvironmentPlugin>()
  const entries = await readdir(directory, { withFileTypes: true })
  for (const { name } of entries
    .filter((entry) => entry.isDirectory())
    .sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const index = ['index.ts', 'index.js']
      .map((file) => new URL(`${encodeURIComponent(name)}/${file}`, directory))
      .find((url) => existsSync(url))
    if (index === undefined) continue
    const exported: unknown = await import(index.href)
    plugins.set(name, pluginIn(exported, name, fileURLToPath(index)))
  }
  return plugins
}

/** What the server gives to the registry; each environment gets a directory of its own below `directory`. */
export interface RegistryOptions extends PluginContext {
  readonly plugins: ReadonlyMap<string, EnvironmentPlugin>
  /** By kind: what holds where neither script nor named environment says anything. */
  readonly defaults?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What references of the kind `named` mean; without, there are none. */
  readonly named?: Definitions
}

/** Where named environments are kept. */
export interface Definitions {
  list(): readonly Definition[]
  find(name: string): Definition | undefined
  /** The secret options. Rejects where they cannot be opened. */
  openSecrets(definition: Definition): Promise<Readonly<Record<string, string>>>
}

/** A named environment. `options` are those that may be shown, `secrets` the names of the others. */
export interface Definition {
  readonly name: string
  readonly kind: string
  readonly options: Readonly<Record<string, unknown>>
  readonly secrets: readonly string[]
}

/** An environment that exists now, and where it comes from. */
export interface LiveEnvironment {
  readonly environment: Environment
  readonly kind: string
  /** Of a named environment, its definition's name. */
  readonly definition: string | undefined
  /** What may be shown of its options, as they were given. */
  readonly options: Readonly<Record<string, unknown>>
  /** Its own directory, the same in every life of the server. */
  readonly directory: string
}

/** What is needed to make an environment. */
interface Recipe {
  readonly key: string
  readonly plugin: EnvironmentPlugin
  readonly name: string
  readonly definition: string | undefined
  /** Without secrets. */
  readonly given: Readonly<Record<string, unknown>>
  readonly openSecrets: () => Promise<Readonly<Record<string, string>>>
}

/** The environments of one server: one for each name, and for each kind and set of options, made when first asked for. */
export class EnvironmentRegistry {
  readonly #options: RegistryOptions
  readonly #environments = new Map<string, Promise<LiveEnvironment>>()
  readonly #names = new Set<string>()
  /** Environments on the same host share its connection. */
  readonly #hosts: SshHosts
  /** Names of definitions that are being removed: nobody begins to use one. */
  readonly leaving = new Set<string>()
  #isClosed = false

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#hosts = options.hosts ?? new SshHosts({ ...options, random: Math.random })
  }

  /** Kinds that a reference may name. */
  get kinds(): readonly string[] {
    return [...this.#options.plugins.keys()]
  }

  /** Names of the options of a kind that are secret. Throws Problem('workflow-invalid') when there is no such kind. */
  secretsOf(kind: string): readonly string[] {
    return this.#plugin(kind).secrets ?? []
  }

  /**
   * Checks a reference of a script without making anything. Throws Problem('workflow-invalid') that names the option,
   * or the named environments that there are. Secret options are refused: scripts are kept and shown.
   */
  validate(reference: EnvironmentReference): void {
    if (reference.kind !== namedKind) {
      const { kind, options } = reference
      const secret = this.secretsOf(kind).find((option) => options[option] !== undefined)
      if (secret !== undefined)
        throw new Problem(
          'workflow-invalid',
          `The option ${secret} of the environment ${kind} is secret and cannot be part of a script.`,
          {
            hint: `Keep it in a named environment: molehill environment add NAME ${kind} --secret ${secret}`,
          },
        )
      const reserved = this.#plugin(kind).operatorOnly?.find((option) => options[option] !== undefined)
      if (reserved !== undefined)
        throw new Problem(
          'workflow-invalid',
          `The option ${reserved} of the environment ${kind} is for operators and cannot be part of a script.`,
          {
            hint: `An operator may keep it in a named environment: molehill environment add NAME ${kind} --option ${reserved}=...`,
          },
        )
    }
    this.#recipe(reference)
  }

  /** Checks the options of an environment to be kept, secret ones included. Throws Problem('workflow-invalid'). */
  validateOptions(kind: string, options: Readonly<Record<string, unknown>>): void {
    this.#complete(this.#plugin(kind), options)
  }

  /** The environment for a reference; its name is that of the first reference that asked for it. */
  async get(reference: EnvironmentReference): Promise<Environment> {
    return (await this.getLive(reference)).environment
  }

  /** The same, with where it comes from. */
  getLive(reference: EnvironmentReference): Promise<LiveEnvironment> {
    if (this.#isClosed)
      return Promise.reject(
        new Problem('server-busy', 'The server is stopping: no environment is made any more.'),
      )
    try {
      const recipe = this.#recipe(reference)
      const known = this.#environments.get(recipe.key)
      if (known !== undefined) return known
      const made = this.#make(recipe)
      this.#environments.set(recipe.key, made)
      // The next one who asks tries again.
      made.catch(() => this.#environments.delete(recipe.key))
      return made
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The environments that exist now. */
  async all(): Promise<readonly LiveEnvironment[]> {
    const settled = await Promise.allSettled(this.#environments.values())
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  }

  /** Closes the environment of a definition, if it exists, so that the next one who asks gets a new one. */
  async forget(name: string): Promise<void> {
    const key = keyOfDefinition(name)
    const live = await this.#environments.get(key)?.catch(() => undefined)
    this.#environments.delete(key)
    if (live === undefined) return
    this.#names.delete(live.environment.name)
    await this.#close(live.environment)
  }

  /** Closes every environment; makes none afterwards. One that cannot close is told to `warn`. */
  async closeAll(): Promise<void> {
    this.#isClosed = true
    await Promise.all((await this.all()).map(async ({ environment }) => this.#close(environment)))
  }

  async #close(environment: Environment): Promise<void> {
    try {
      await environment.close()
    } catch (error) {
      this.#options.warn(`The environment ${environment.name} could not be closed: ${String(error)}`)
    }
  }

  #recipe(reference: EnvironmentReference): Recipe {
    if (reference.kind === namedKind) return this.#recipeOf(reference.name ?? '')
    const plugin = this.#plugin(reference.kind)
    const { options: given } = reference
    return {
      key: `${plugin.kind} ${canonical(this.#complete(plugin, given))}`,
      plugin,
      name: reference.name ?? plugin.kind,
      definition: undefined,
      given,
      openSecrets: async () => ({}),
    }
  }

  #recipeOf(name: string): Recipe {
    const { named } = this.#options
    const definition = this.leaving.has(name) ? undefined : named?.find(name)
    if (named === undefined || definition === undefined)
      throw new Problem('workflow-invalid', `There is no environment named ${JSON.stringify(name)}.`, {
        hint: hintAtNames(named),
      })
    return {
      key: keyOfDefinition(name),
      plugin: this.#plugin(definition.kind),
      name,
      definition: name,
      given: definition.options,
      openSecrets: async () => named.openSecrets(definition),
    }
  }

  #plugin(kind: string): EnvironmentPlugin {
    const plugin = this.#options.plugins.get(kind)
    if (plugin !== undefined) return plugin
    throw new Problem('workflow-invalid', `There is no environment of the kind ${JSON.stringify(kind)}.`, {
      hint: `Kinds on this server: ${this.kinds.join(', ')}.`,
    })
  }

  #complete(plugin: EnvironmentPlugin, given: Readonly<Record<string, unknown>>): unknown {
    const result = plugin.options.safeParse({ ...this.#options.defaults?.[plugin.kind], ...given })
    if (result.success) return result.data
    throw new Problem(
      'workflow-invalid',
      result.error.issues.map((issue) => describe(plugin, issue)).join(' '),
      { cause: result.error, hint: `Correct the options of the environment ${plugin.kind}.` },
    )
  }

  async #make({
    key,
    plugin,
    name: wanted,
    definition,
    given,
    openSecrets,
  }: Recipe): Promise<LiveEnvironment> {
    let name = wanted
    for (let number = 2; this.#names.has(name); number += 1) name = `${wanted}-${number}`
    this.#names.add(name)
    const {
      plugins: _plugins,
      defaults: _defaults,
      named: _named,
      directory,
      warn,
      ...context
    } = this.#options
    // The same key finds the same directory in the next life of the server. It holds no secret.
    const digest = createHash('sha256').update(key).digest('hex').slice(0, 12)
    const own = join(directory, `${plugin.kind}-${digest}`)
    try {
      const secrets = await openSecrets()
      const texts = Object.values(secrets)
      const options = this.#complete(plugin, { ...given, ...secrets })
      const environment = await plugin
        .create(name, options, {
          ...context,
          hosts: this.#hosts,
          directory: own,
          warn: (message) => warn(`${name}: ${blankSecrets(message, texts)}`),
        })
        .catch((error: unknown) => {
          throw blankSecrets(error, texts)
        })
      return {
        environment: concealSecrets(environment, texts),
        kind: plugin.kind,
        definition,
        options: given,
        directory: own,
      }
    } catch (error) {
      this.#names.delete(name)
      throw error
    }
  }
}

function keyOfDefinition(name: string): string {
  return `${namedKind} ${name}`
}

function hintAtNames(named: Definitions | undefined): string {
  if (named === undefined) return 'Named environments are kept by a server: start the workflow there.'
  const names = named.list().map(({ name }) => name)
  return names.length === 0
    ? 'There are none yet. Keep one: molehill environment add NAME KIND'
    : `Named environments of this server: ${names.join(', ')}.`
}

function describe({ kind, options }: EnvironmentPlugin, issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys' && issue.path.length === 0) {
    const known = options instanceof z.ZodObject ? `; it has: ${Object.keys(options.shape).join(', ')}` : ''
    return `The environment ${kind} has no option ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}${known}.`
  }
  const option = issue.path.length === 0 ? 'The options' : `The option ${issue.path.map(String).join('.')}`
  const isMissing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
  return `${option} of the environment ${kind}${isMissing ? ' is needed' : `: ${issue.message}`}.`
}

/** The same text for the same options, in whatever order they were written. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}

function pluginIn(exported: unknown, kind: string, file: string): EnvironmentPlugin {
  const plugin =
    typeof exported === 'object' && exported !== null && 'plugin' in exported ? exported.plugin : undefined
  if (!isPlugin(plugin) || plugin.kind !== kind)
    throw new Problem(
      'internal',
      `${file} must export a plugin of the kind ${kind}: { kind, options, create }.`,
    )
  return plugin
}

function isPlugin(value: unknown): value is EnvironmentPlugin {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    'options' in value &&
    'create' in value &&
    typeof value.create === 'function'
  )
}
