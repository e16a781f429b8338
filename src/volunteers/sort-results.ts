import type { Sameness } from '../environment/sameness.ts'
import type { ResultDigest } from './result-archive.ts'
import type { Judgement } from './transitions.ts'

/** A result that was read now. */
export interface FreshResult {
  readonly number: number
  readonly path: string
  readonly digest: ResultDigest
}

/** The results that are the same as one, by its digest. */
export interface ResultClass {
  readonly digest: string
  /** Of the one that others are compared with. */
  readonly path: string
}

const unlikeItself = 'A result is not the same as itself, by the comparison that was asked for.'

/**
 * Sorts results into classes where more agree than those that are equal: each takes the digest of the first that it is
 * the same as. All are compared with the first of a class, so that small differences cannot add up. What cannot be
 * compared counts for nothing, and nobody's host is blamed for it.
 *
 * @param isChecked whether each is compared with itself first: so what cannot be compared is found before it is what
 *   others are compared with
 */
export async function sortResults(
  fresh: readonly FreshResult[],
  known: readonly ResultClass[],
  compare: (left: string, right: string) => Promise<Sameness>,
  isChecked = false,
): Promise<readonly Judgement[]> {
  const classes = [...known]
  const sorted = new Map(known.map(({ digest }) => [digest, digest]))
  const judgements: Judgement[] = []

  async function classOf(path: string, own: string): Promise<string | { readonly message: string }> {
    const equal = sorted.get(own)
    if (equal !== undefined) return equal
    const itself = isChecked ? await compare(path, path) : undefined
    if (itself?.kind === 'unclear') return itself
    if (itself?.kind === 'different') return { message: unlikeItself }
    for (const { digest, path: other } of classes) {
      const sameness = await compare(other, path)
      if (sameness.kind === 'unclear') return sameness
      if (sameness.kind === 'same') return digest
    }
    classes.push({ digest: own, path })
    return own
  }

  for (const { number, path, digest: read } of fresh) {
    if (read.kind === 'broken') {
      judgements.push({ ...read, number })
      continue
    }
    const found = await classOf(path, read.digest)
    if (typeof found === 'string') {
      sorted.set(read.digest, found)
      judgements.push({ kind: 'sound', number, digest: found })
    } else judgements.push({ kind: 'incomparable', number, message: found.message })
  }
  return judgements
}
