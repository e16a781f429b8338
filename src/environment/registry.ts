import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import type { z } from 'zod'
import { Problem } from '../problem.ts'
import type { EnvironmentReference } from '../workflow/environment.ts'
import type { Environment } from './environment.ts'
import type { EnvironmentPlugin, PluginContext } from './plugin.ts'

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
}

/** The environments of one server: one for each kind and set of options, made when first asked for. */
export class EnvironmentRegistry {
  readonly #options: RegistryOptions
  readonly #environments = new Map<string, Promise<Environment>>()
  readonly #names = new Set<string>()
  #isClosed = false

  constructor(options: RegistryOptions) {
    this.#options = options
  }

  /** Kinds that a reference may name. */
  get kinds(): readonly string[] {
    return [...this.#options.plugins.keys()]
  }

  /** Checks a reference without making anything. Throws Problem('workflow-invalid') that names the option. */
  validate(reference: EnvironmentReference): void {
    this.#parse(reference)
  }

  /** The environment for a reference; its name is that of the first reference that asked for it. */
  get(reference: EnvironmentReference): Promise<Environment> {
    if (this.#isClosed)
      return Promise.reject(
        new Problem('server-busy', 'The server is stopping: no environment is made any more.'),
      )
    let key: string
    try {
      const { plugin, options } = this.#parse(reference)
      key = `${plugin.kind} ${canonical(options)}`
      const known = this.#environments.get(key)
      if (known !== undefined) return known
      const made = this.#make(plugin, options, key, reference.name ?? plugin.kind)
      this.#environments.set(key, made)
      // The next one who asks tries again.
      made.catch(() => this.#environments.delete(key))
      return made
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The environments that exist now. */
  async all(): Promise<readonly Environment[]> {
    const settled = await Promise.allSettled(this.#environments.values())
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  }

  /** Closes every environment; makes none afterwards. One that cannot close is told to `warn`. */
  async closeAll(): Promise<void> {
    this.#isClosed = true
    await Promise.all(
      (await this.all()).map(async (environment) => {
        try {
          await environment.close()
        } catch (error) {
          this.#options.warn(`The environment ${environment.name} could not be closed: ${String(error)}`)
        }
      }),
    )
  }

  #parse(reference: EnvironmentReference): { plugin: EnvironmentPlugin; options: unknown } {
    const plugin = this.#options.plugins.get(reference.kind)
    if (plugin === undefined)
      throw new Problem(
        'workflow-invalid',
        `There is no environment of the kind ${JSON.stringify(reference.kind)}.`,
        {
          hint: `Kinds on this server: ${this.kinds.join(', ')}.`,
        },
      )
    const result = plugin.options.safeParse(reference.options)
    if (!result.success)
      throw new Problem(
        'workflow-invalid',
        result.error.issues.map((issue) => describe(reference.kind, issue)).join(' '),
        {
          cause: result.error,
          hint: `Correct the options of ${reference.kind}(...) in the script.`,
        },
      )
    return { plugin, options: result.data }
  }

  async #make(
    plugin: EnvironmentPlugin,
    options: unknown,
    key: string,
    wanted: string,
  ): Promise<Environment> {
    let name = wanted
    for (let number = 2; this.#names.has(name); number += 1) name = `${wanted}-${number}`
    this.#names.add(name)
    const { directory, variables, boxes, now, warn } = this.#options
    // The same options find the same directory in the next life of the server.
    const digest = createHash('sha256').update(key).digest('hex').slice(0, 12)
    try {
      return await plugin.create(name, options, {
        directory: join(directory, `${plugin.kind}-${digest}`),
        variables,
        ...(boxes !== undefined && { boxes }),
        now,
        warn: (message) => warn(`${name}: ${message}`),
      })
    } catch (error) {
      this.#names.delete(name)
      throw error
    }
  }
}

function describe(kind: string, issue: z.core.$ZodIssue): string {
  const option = issue.path.length === 0 ? 'The options' : `The option ${issue.path.map(String).join('.')}`
  return `${option} of the environment ${kind}: ${issue.message}.`
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
