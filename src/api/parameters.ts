import type { z } from 'zod'
import { Problem } from '../problem.ts'

/** Texts by name, from wherever in the request they came. */
export interface ParameterTexts {
  /** Throws Problem parameter-invalid for a name that came before with another text. */
  add(name: string, text: string): void
  get(name: string): string | undefined
  all(): Readonly<Record<string, string>>
}

const mostParameters = 100

export function collectParameters(): ParameterTexts {
  const texts = new Map<string, string>()
  return {
    add(name, text) {
      const before = texts.get(name)
      if (before !== undefined && before !== text)
        throw new Problem(
          'parameter-invalid',
          `The parameter ${quote(name)} was sent twice, with different values.`,
        )
      if (texts.size >= mostParameters)
        throw new Problem('body-invalid', `Expected at most ${mostParameters} parameters.`)
      texts.set(name, text)
    },
    get: (name) => texts.get(name),
    // A member named `__proto__` stays a member.
    all: () => Object.fromEntries(texts),
  }
}

/**
 * What a route's schema makes of the texts. Throws Problem parameter-missing with the schema's own message for what
 * is not there, and parameter-invalid for what cannot be read.
 */
export function readParameters<Schema extends z.ZodObject>(
  schema: Schema,
  texts: ParameterTexts,
): z.output<Schema> {
  const read = schema.safeParse(texts.all())
  if (read.success) return read.data
  const issue = read.error.issues.find((each) => texts.get(String(each.path[0])) === undefined)
  if (issue !== undefined) throw new Problem('parameter-missing', issue.message)
  const [first] = read.error.issues
  const name = String(first?.path[0])
  throw new Problem(
    'parameter-invalid',
    `The parameter ${quote(name)} cannot be read: ${first?.message}; got ${quote(texts.get(name) ?? '')}.`,
  )
}

/** For a message: on one line, not longer than a line. */
function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text)
}
