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
  return makeTemplate(texts, values)
}

/**
 * A command line for `/bin/sh`.
 * @example shell`wc -w < ${book} > count.txt`
 */
export function shell(texts: TemplateStringsArray, ...values: readonly Value[]): ShellCommand {
  return { kind: 'shell', template: makeTemplate(texts, values) }
}

function makeTemplate(texts: TemplateStringsArray, values: readonly Value[]): Template {
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
