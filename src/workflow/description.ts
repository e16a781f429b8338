import { locateCaller, type SourceLocation } from './location.ts'
import type { Value } from './value.ts'

/** What a workflow says of itself to those who start it by its name. */
export interface WorkflowDescription {
  readonly title: string
  readonly description: string
  /** Where it stands in a list of workflows: `astronomy`. */
  readonly category: string
  readonly inputs: readonly DescribedInput[]
  readonly outputs: readonly DescribedOutput[]
}

/** A value that whoever starts the workflow gives, or may give. */
export interface DescribedInput extends Required<
  Omit<InputOptions, 'default' | 'values' | 'minimum' | 'maximum'>
> {
  readonly value: Value
  readonly default: unknown
  readonly values: readonly unknown[] | undefined
  readonly minimum: number | undefined
  readonly maximum: number | undefined
  readonly location: SourceLocation | undefined
}

export interface InputOptions<T = unknown> {
  /** A few words for a form. */
  readonly title?: string
  readonly description?: string
  /** What holds where nothing is given; else the default of the value itself. */
  readonly default?: T
  /** The only values that are taken. */
  readonly values?: readonly T[]
  /** Smallest number, itself included. */
  readonly minimum?: number
  /** Largest number, itself included. */
  readonly maximum?: number
  /** Refuses a start without it. Without a default, an input is mandatory anyway. */
  readonly mandatory?: boolean
  /** Heading below which a form shows it. */
  readonly category?: string
  /** Whether a form may hide it from beginners. */
  readonly advanced?: boolean
  /** Of a file: endings of names that are taken, without the dot. */
  readonly formats?: readonly string[]
}

/** Something that the workflow leaves in its work directory. */
export interface DescribedOutput {
  /** Path in the work directory; `*` stands for any text without a slash. */
  readonly path: string
  readonly title: string
  readonly description: string
  /** What a protocol calls it: `catalog`, `preview`. Several outputs may have the same. */
  readonly role: string
}

/** An input of a workflow that can be started by name. */
export function input<T>(value: Value<string, T>, options: InputOptions<T> = {}): DescribedInput {
  const { title = value.name, description = '', mandatory = false, category = '', advanced = false } = options
  return {
    value,
    title,
    description,
    mandatory,
    category,
    advanced,
    formats: options.formats ?? [],
    default: options.default ?? value.default,
    values: options.values,
    minimum: options.minimum,
    maximum: options.maximum,
    location: locateCaller(),
  }
}

/** An output of a workflow that can be started by name. */
export function output(
  path: string,
  { title = path, description = '', role = '' }: Partial<Omit<DescribedOutput, 'path'>> = {},
): DescribedOutput {
  return { path, title, description, role }
}
