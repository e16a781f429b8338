import { accessOptions } from './options/access-options.ts'
import { boincOptions } from './options/boinc-options.ts'
import { caesarOptions } from './options/caesar-options.ts'
import { catalogOptions } from './options/catalog-options.ts'
import { excitingOptions } from './options/exciting-options.ts'
import { keepingOptions } from './options/keeping-options.ts'
import { limitOptions } from './options/limit-options.ts'
import { logOptions } from './options/log-options.ts'
import { openmoleOptions } from './options/openmole-options.ts'
import { serverOptions } from './options/server-options.ts'
import { taskOptions } from './options/task-options.ts'
import { volunteerOptions } from './options/volunteer-options.ts'
import type { OptionValue } from './options/option.ts'

/** The one table of options: flags, variables, the file, `config show` and the documentation derive from it. */
export const options = {
  ...serverOptions,
  ...accessOptions,
  ...logOptions,
  ...openmoleOptions,
  ...excitingOptions,
  ...boincOptions,
  ...volunteerOptions,
  ...taskOptions,
  ...limitOptions,
  ...keepingOptions,
  ...catalogOptions,
  ...caesarOptions,
} as const

export type OptionKey = keyof typeof options

/** The effective value of every option, in the units that its name tells. Paths are absolute. */
export type Configuration = {
  readonly [Key in OptionKey]: OptionValue<(typeof options)[Key]>
}

export const optionKeys = Object.keys(options) as readonly OptionKey[]

/** How an option is written on the command line, in the environment and in the file. */
export interface Spellings {
  /** `--token-lifetime` */
  readonly flag: string
  /** `MOLEHILL_TOKEN_LIFETIME` */
  readonly variable: string
  /** `tokenLifetime`: in the file, and what commander calls the flag. */
  readonly member: string
}

export function spellings(name: string): Spellings {
  return {
    flag: `--${name}`,
    variable: `MOLEHILL_${name.replaceAll('-', '_').toUpperCase()}`,
    member: name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  }
}
