import { readFile as readFileOfSystem } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Problem } from '../problem.ts'
import { readConfigurationFile } from './configuration-file.ts'
import { nearestName } from './nearest-name.ts'
import { optionKeys, options, spellings, type Configuration, type OptionKey } from './options.ts'
import type { Option } from './options/option.ts'
import { readSurroundings, type Surroundings } from './surroundings.ts'

/** Where the effective value of an option comes from. */
export type Origin =
  | { readonly kind: 'flag'; readonly flag: string }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'default' }

export interface ResolvedConfiguration {
  readonly values: Configuration
  readonly origins: Readonly<Record<OptionKey, Origin>>
  /** The file that was read, when there was one. */
  readonly file: string | undefined
}

export interface ConfigurationSources {
  /**
   * Flags by their camel-case names, as commander gives them, `config` among them: `{ tokenLifetime: '24h' }`.
   * A flag that was not given is absent or undefined.
   */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Rejects with code ENOENT when there is no such file. */
  readonly readFile?: (path: string) => Promise<string>
  /** Relative paths in flags and variables start here. */
  readonly currentDirectory?: string
}

const keyOfMember = new Map(optionKeys.map((key) => [spellings(options[key].name).member, key]))

/**
 * Brings the options together: flags before environment variables before the file before defaults. The file is the
 * one that `--config` or `MOLEHILL_CONFIG` names, or `$XDG_CONFIG_HOME/molehill/config.json` when that exists.
 * Relative paths in the file start at its directory. An empty variable counts as not set.
 *
 * Throws Problem('configuration-invalid') for a name that is not known, a value that cannot be read, and a file that
 * is named but cannot be read.
 */
export async function resolveConfiguration(
  sources: ConfigurationSources = {},
): Promise<ResolvedConfiguration> {
  const { flags = {}, env = process.env, currentDirectory = process.cwd() } = sources
  const { readFile = (path: string) => readFileOfSystem(path, 'utf8') } = sources
  const surroundings = readSurroundings(env)
  const { config, ...optionFlags } = flags
  refuseUnknown(Object.keys(optionFlags), 'on the command line', (member) => `--${hyphenate(member)}`)

  const place = (path: string, directory: string) => placePath(path, directory, surroundings)
  const named = nameConfigFile(config, env)
  const file = named === undefined ? undefined : place(named, currentDirectory)
  const standard = join(surroundings.configDirectory, 'molehill', 'config.json')
  const members = await readConfigurationFile(file ?? standard, file !== undefined, readFile)
  if (members !== undefined)
    refuseUnknown([...members.keys()], `in ${file ?? standard}`, (member) => `"${member}"`)
  const filePath = members === undefined ? undefined : (file ?? standard)

  const values: Partial<Record<OptionKey, unknown>> = {}
  const origins: Partial<Record<OptionKey, Origin>> = {}
  for (const key of optionKeys) {
    const option: Option<unknown> = options[key]
    const { flag, variable, member } = spellings(option.name)
    const found = findValue([
      [optionFlags[member], { kind: 'flag', flag }],
      [env[variable] === '' ? undefined : env[variable], { kind: 'environment', variable }],
      [members?.get(member), { kind: 'file', path: filePath ?? '' }],
    ])
    if (found === undefined) {
      values[key] = option.fallback(surroundings, values)
      origins[key] = { kind: 'default' }
      continue
    }
    const directory = found.origin.kind === 'file' ? dirname(found.origin.path) : currentDirectory
    const value = readValue(option, found.raw, found.origin)
    values[key] = option.kind.name === 'path' ? place(String(value), directory) : value
    origins[key] = found.origin
  }
  return { values, origins, file: filePath } as ResolvedConfiguration
}

/** An origin in words: `flag --port`, `variable MOLEHILL_PORT`, `file /etc/molehill.json`, `default`. */
export function describeOrigin(origin: Origin): string {
  if (origin.kind === 'flag') return `flag ${origin.flag}`
  if (origin.kind === 'environment') return `variable ${origin.variable}`
  return origin.kind === 'file' ? `file ${origin.path}` : 'default'
}

function nameConfigFile(
  flag: unknown,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (typeof flag === 'string' && flag !== '') return flag
  if (flag !== undefined)
    throw new Problem('configuration-invalid', `Expected a path for --config, got ${JSON.stringify(flag)}.`)
  return env.MOLEHILL_CONFIG === '' ? undefined : env.MOLEHILL_CONFIG
}

function findValue(candidates: readonly (readonly [unknown, Origin])[]) {
  const [raw, origin] = candidates.find(([raw]) => raw !== undefined) ?? []
  return origin === undefined ? undefined : { raw, origin }
}

function readValue(option: Option<unknown>, raw: unknown, origin: Origin): unknown {
  const read = option.kind.schema.safeParse(raw)
  if (read.success) return read.data
  const { flag, member } = spellings(option.name)
  const place = origin.kind === 'file' ? `${member} in ${origin.path}` : describeOrigin(origin)
  const got = (JSON.stringify(raw) ?? String(raw)).slice(0, 200)
  throw new Problem('configuration-invalid', `Expected ${option.kind.expected} for ${place}, got ${got}.`, {
    hint: `${flag}: ${option.description}`,
  })
}

/** Names only: a value beside a mistyped name may be a secret. */
function refuseUnknown(members: readonly string[], where: string, spell: (member: string) => string): void {
  const unknown = members.find((member) => !keyOfMember.has(member))
  if (unknown === undefined) return
  const nearest = nearestName(unknown, keyOfMember.keys())
  throw new Problem(
    'configuration-invalid',
    `The option ${spell(unknown.slice(0, 100))} ${where} is not known.`,
    {
      hint:
        nearest === undefined
          ? '`molehill config show` lists all options.'
          : `Did you mean ${spell(nearest)}? \`molehill config show\` lists all options.`,
    },
  )
}

function hyphenate(member: string): string {
  return member.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function placePath(path: string, directory: string, { homeDirectory }: Surroundings): string {
  return path.startsWith('~/') ? join(homeDirectory, path.slice(2)) : resolve(directory, path)
}
