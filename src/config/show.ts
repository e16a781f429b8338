import { describeOrigin, type ResolvedConfiguration } from './configuration.ts'
import { optionKeys, options, spellings, type Spellings } from './options.ts'
import type { Option } from './options/option.ts'

/** One option in words: what help texts, the documentation and completions are made from. */
export interface OptionDescription extends Spellings {
  readonly type: Option<unknown>['kind']['name']
  readonly expected: string
  readonly description: string
  /** The default, in words where it depends on the computer. */
  readonly default: string
}

/** The one option that cannot stand in the file, because it names the file. */
export const configOption: OptionDescription = {
  ...spellings('config'),
  type: 'path',
  expected: 'a path',
  description: 'JSON file with options. Flags and variables win over it.',
  default: '$XDG_CONFIG_HOME/molehill/config.json, when there',
}

/** Every option that the file may hold, in the order of the table. */
export function describeOptions(): readonly OptionDescription[] {
  return optionKeys.map((key) => {
    const option: Option<unknown> = options[key]
    return {
      ...spellings(option.name),
      type: option.kind.name,
      expected: option.kind.expected,
      description: option.description,
      default: option.fallbackText ?? showValue(option, option.fallback(plainSurroundings, {})),
    }
  })
}

/** The table of options for the documentation, in Markdown. */
export function documentOptions(): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    row(['flag', 'variable', 'in the file', 'default', 'what for']),
    row(['---', '---', '---', '---', '---']),
    ...[configOption, ...describeOptions()].map((each) =>
      row([
        `\`${each.flag}\``,
        `\`${each.variable}\``,
        each === configOption ? '' : `\`${each.member}\``,
        each.default,
        `${each.description} Takes ${each.expected}.`,
      ]),
    ),
    '',
  ].join('\n')
}

/**
 * What `molehill config show` prints: one line per option with its effective value and where that comes from.
 * No option is a secret itself; those that lead to one are paths.
 */
export function showConfiguration({ values, origins }: ResolvedConfiguration): string {
  const lines = optionKeys.map((key) => {
    const option: Option<unknown> = options[key]
    const { member } = spellings(option.name)
    return { left: `${member} = ${showValue(option, values[key])}`, origin: describeOrigin(origins[key]) }
  })
  const width = Math.max(...lines.map(({ left }) => left.length))
  return lines.map(({ left, origin }) => `${left.padEnd(width)}  (${origin})\n`).join('')
}

function showValue(option: Option<unknown>, value: unknown): string {
  return value === undefined || value === null ? 'not set' : option.kind.show(value)
}

// Only options with a `fallbackText` look at it.
const plainSurroundings = {
  homeDirectory: '',
  stateDirectory: '',
  configDirectory: '',
  cores: 1,
  memoryBytes: 0,
}
