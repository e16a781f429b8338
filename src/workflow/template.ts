import { isValue, type Value } from './value.ts'

/** Text with values in it: `texts` has one element more than `values`, and they alternate. */
export interface Template {
  readonly kind: 'template'
  readonly texts: readonly string[]
  readonly values: readonly Value[]
}

/** A shell command line with values in it. Each value becomes one quoted word; the rest is shell as written. */
export interface ShellCommand {
  readonly kind: 'shell'
  readonly template: Template
}

/**
 * Text into which values are written when it is used.
 * @example copyFile(plot, text`plots/${index}.svg`)
 */
export function text(texts: TemplateStringsArray, ...values: readonly Value[]): Template {
  const readable: readonly (string | undefined)[] = texts
  if (readable.includes(undefined))
    throw new TypeError(
      String.raw`A text holds an escape that JavaScript does not know, such as \1; write \\ for a backslash.`,
    )
  return makeTemplate(texts, values)
}

/**
 * A command line for `/bin/sh`. Backslashes reach the shell as they are written; only a backslash before a backquote
 * or before `${` is taken away, since JavaScript needs it there.
 * @example shell`wc -w < ${book} > count.txt`
 */
export function shell(texts: TemplateStringsArray, ...values: readonly Value[]): ShellCommand {
  const written = texts.raw.map((raw) => raw.replaceAll(/\\(`|\$\{)/g, '$1'))
  return { kind: 'shell', template: makeTemplate(written, values) }
}

function makeTemplate(texts: readonly string[], values: readonly Value[]): Template {
  const stranger = values.find((value) => !isValue(value))
  if (stranger !== undefined)
    throw new TypeError(
      `A template takes values such as number('x') between \${ and }; it got ${typeof stranger} ${JSON.stringify(stranger)}. Write constants into the text itself.`,
    )
  return { kind: 'template', texts: [...texts], values }
}

export function isTemplate(candidate: unknown): candidate is Template {
  return (
    typeof candidate === 'object' &&
    candidate !== null &&
    'kind' in candidate &&
    candidate.kind === 'template'
  )
}
