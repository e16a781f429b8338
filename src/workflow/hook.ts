import { isTemplate, type Template } from './template.ts'
import { isValue, type Value } from './value.ts'

/** What is done with the values of a capsule when one of its jobs has completed. */
export type Hook =
  | {
      readonly kind: 'display'
      readonly text: Template | ((context: never) => unknown) | undefined
      readonly values: readonly Value[] | undefined
    }
  | ({ readonly kind: 'csv'; readonly header: boolean; readonly arrays: 'cell' | 'rows' } & TableFile)
  | ({ readonly kind: 'json-lines' } & TableFile)
  | { readonly kind: 'copy-file'; readonly value: Value<string, string>; readonly to: string | Template }

interface TableFile {
  /** Relative to the work directory. */
  readonly path: string
  readonly values: readonly Value[] | undefined
  /** Keeps what the file held before the execution. */
  readonly append: boolean
}

/**
 * Writes a line into the execution's output: a template, the text a function makes of the values, or `name = value`
 * of the given values (of all that the task receives and returns where none are given).
 */
export function display(what?: Template | ((context: never) => unknown) | readonly Value[]): Hook {
  if (what === undefined) return { kind: 'display', text: undefined, values: undefined }
  if (isTemplate(what) || typeof what === 'function')
    return { kind: 'display', text: what, values: undefined }
  return { kind: 'display', text: undefined, values: what.filter((value) => isValue(value)) }
}

/**
 * Adds a row a job to a CSV file (RFC 4180) of the work directory. Columns are `values`, or all that the task
 * receives and returns. An array is one cell, `[1,2,3]`; with `arrays: 'rows'` its elements become rows and single
 * values repeat. The file is begun anew by each execution unless `append` is set.
 */
export function csv(
  path: string,
  options: {
    values?: readonly Value[]
    header?: boolean
    arrays?: 'cell' | 'rows'
    append?: boolean
  } = {},
): Hook {
  const { values, header = true, arrays = 'cell', append = false } = options
  return { kind: 'csv', path, values, header, arrays, append }
}

/** Adds one JSON object a job, on a line of its own, to a file of the work directory. */
export function jsonLines(path: string, options: { values?: readonly Value[]; append?: boolean } = {}): Hook {
  return { kind: 'json-lines', path, values: options.values, append: options.append ?? false }
}

/** Copies the file that `value` holds to a path of the work directory, which values may be part of. */
export function copyFile(value: Value<string, string>, to: string | Template): Hook {
  return { kind: 'copy-file', value, to }
}
