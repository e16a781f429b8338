import type { JobHandle, JobId } from '../environment.ts'
import type { FoundJob, JobFiles } from '../job-files/job-files.ts'
import { handleOf, readNote, readSubmitted } from './handle.ts'
import { listedJobs } from './listed-jobs.ts'
import { batchPath } from './plan-batches.ts'
import type { BatchQueue } from './queue.ts'

/**
 * Handles of the jobs with these ids that the scheduler got: their directories name their batches, whose native ids
 * stand in a file or, where a server died before it wrote that, in the scheduler's list. A job that is not listed but
 * has started was submitted too. A directory alone proves nothing.
 */
export async function findJobs(
  ids: readonly JobId[],
  { files, queue }: { readonly files: JobFiles; readonly queue: BatchQueue },
  signal: AbortSignal,
): Promise<readonly JobHandle[]> {
  const places = (await files.find(ids, signal)).flatMap((found) => {
    const position = readNote(found.note)
    return position === undefined ? [] : [{ found, ...position }]
  })
  if (places.length === 0) return []
  const pathOf = ({ found, batch }: { found: FoundJob; batch: string }): string =>
    `${batchPath({ key: found.key, name: batch })}/submitted`
  const submitted = await files.read([...new Set(places.map(pathOf))], signal)
  const unsure = places.filter((place) => !submitted.has(pathOf(place)))
  const listed = unsure.length === 0 ? undefined : await listedJobs(queue, signal)
  const marks = await files.look(
    unsure.map(({ found }) => found),
    signal,
  )
  return places.flatMap((place) => {
    const { found, batch, index, submittedAt } = place
    const handle = (nativeId: string): JobHandle =>
      handleOf({ place: { id: found.id, key: found.key }, batch, index, nativeId }, submittedAt)
    const text = submitted.get(pathOf(place))
    if (text !== undefined) return [handle(readSubmitted(text)[index] ?? '')]
    const [nativeId] = listed?.nativeIdsOf(place) ?? []
    if (nativeId !== undefined) return [handle(nativeId)]
    const kind = marks.get(found.id)?.kind
    return kind === 'started' || kind === 'ended' ? [handle('')] : []
  })
}
