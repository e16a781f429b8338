import type { OptionKind } from '../option-kinds.ts'
import type { Surroundings } from '../surroundings.ts'

/** One option of the server. All its spellings follow from `name`: see `spellings`. */
export interface Option<Value> {
  /** Words with hyphens between: `token-lifetime`. */
  readonly name: string
  readonly kind: OptionKind<NonNullable<Value>>
  readonly description: string
  /** `before` holds the values of the options that stand before it in the table. */
  readonly fallback: (surroundings: Surroundings, before: Readonly<Record<string, unknown>>) => Value
  /** The default in words, where it depends on the computer. */
  readonly fallbackText?: string
}

export type OptionValue<Each> = Each extends Option<infer Value> ? Value : never

/** One line of a table of options, checked against the type of its value. */
export function option<Value>(spec: Option<Value>): Option<Value> {
  return spec
}
