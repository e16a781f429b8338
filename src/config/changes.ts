import { optionKeys, options, spellings, type Configuration } from './options.ts'
import type { Option } from './options/option.ts'

/** The value of each option as it is shown, by its name in the file. No option is a secret. */
export type OptionTexts = Readonly<Record<string, string>>

export function showOptions(configuration: Configuration): OptionTexts {
  return Object.fromEntries(
    optionKeys.map((key) => {
      const option: Option<unknown> = options[key]
      const value: unknown = configuration[key]
      const text = value === undefined || value === null ? 'not set' : option.kind.show(value)
      return [spellings(option.name).member, text]
    }),
  )
}

/** What is another value than before: `slots: 2 -> 4`, one text each. Options that one side does not know are none. */
export function findChanges(before: OptionTexts, after: OptionTexts): readonly string[] {
  return Object.entries(after).flatMap(([member, text]) => {
    const old = Object.hasOwn(before, member) ? before[member] : undefined
    return old === undefined || old === text ? [] : [`${member}: ${old} -> ${text}`]
  })
}
