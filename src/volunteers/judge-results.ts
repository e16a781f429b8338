import type { NotYet, Sameness } from '../environment/sameness.ts'
import type { ArchivePair, Tolerance } from '../environment/volunteers.ts'
import type { Judged, Reading } from './project.ts'
import type { ArchiveReader } from './read-archives.ts'
import { sortResults, type FreshResult } from './sort-results.ts'

/** A workunit whose archives were read. */
export interface ReadWorkunit extends Reading {
  readonly results: readonly FreshResult[]
}

/** Reads the archives of several workunits in one go. Throws where a file cannot be read for a reason of ours. */
export async function readArchives(
  reader: ArchiveReader,
  readings: readonly Reading[],
): Promise<readonly ReadWorkunit[]> {
  const digests = await reader.read(readings.flatMap(({ archives }) => archives.map(({ path }) => path)))
  let next = 0
  return readings.map((reading) => {
    const results = reading.archives.flatMap(({ number, path }) => {
      const digest = digests[next]
      next += 1
      return digest === undefined ? [] : [{ number, path, digest }]
    })
    return { ...reading, results }
  })
}

/** Judges results here: by their bytes, or with the tolerance that was asked for. */
export async function judgeResults(
  { workunit, results, comparison }: ReadWorkunit,
  compare: (left: string, right: string, tolerance: Tolerance) => Promise<Sameness>,
): Promise<Judged> {
  const { agreement, known = [] } = comparison ?? {}
  if (agreement?.kind !== 'numbers')
    return { workunit, judgements: results.map(({ number, digest }) => ({ ...digest, number })) }
  const judgements = await sortResults(results, known, (left, right) => compare(left, right, agreement))
  return { workunit, judgements }
}

/** Judges results by asking somebody else of each pair. Undefined where he cannot be asked yet. */
export async function judgeElsewhere(
  { workunit, name, results, comparison }: ReadWorkunit,
  ask: (pair: ArchivePair) => Promise<Sameness | NotYet>,
): Promise<Judged | undefined> {
  let isEarly = false
  const compare = async (left: string, right: string): Promise<Sameness> => {
    const sameness: Sameness | NotYet = isEarly ? { kind: 'not-yet' } : await ask({ name, left, right })
    if (sameness.kind !== 'not-yet') return sameness
    isEarly = true
    return { kind: 'different' }
  }
  const judgements = await sortResults(results, comparison?.known ?? [], compare, true)
  return isEarly ? undefined : { workunit, judgements }
}

export function isJudgedElsewhere({ comparison }: Reading): boolean {
  return comparison?.agreement.kind === 'asked'
}
