import { join } from 'node:path'
import { listDirectory } from '../../files/list-directory.ts'
import { openInside } from '../../files/safe-open.ts'
import { Problem } from '../../problem.ts'
import { batchJobDirectory } from '../../workflow/batch.ts'
import type { JobView } from './batch-view.ts'
import type { SubmissionParts, Submitter } from './parts.ts'

/** A file that a job has left. */
export interface OutputFile {
  /** As the workflow describes it: path below the job's directory. */
  readonly name: string
  readonly bytes: number
  /** The bytes as they are now, from a file that lies in the work directory. */
  readonly read: () => AsyncIterable<Buffer>
}

const deepest = 8
const mostFiles = 1000

/**
 * What a job has left, in the order in which its app describes it; what it does not describe comes behind. Nothing
 * where the job has not succeeded, or its execution is gone.
 */
export async function outputFilesOf(
  view: JobView,
  submitter: Submitter,
  parts: Pick<SubmissionParts, 'store' | 'catalog'>,
): Promise<readonly OutputFile[]> {
  if (view.standing !== 'done') return []
  const batch = parts.store.batch(submitter.owner, { id: view.job.batch })
  if (batch === undefined || batch.retiredAt > 0) return []
  try {
    const workDirectory = submitter.executions.workDirectory(batch.execution)
    const root = batchJobDirectory(view.job.number)
    const found = await filesBelow(workDirectory, root, '', deepest)
    const patterns = await describedOutputs(batch.app, parts)
    return found
      .map((file) => ({ file, rank: patterns.findIndex((pattern) => pattern.test(file.name)) }))
      .sort((a, b) => (a.rank < 0 ? Infinity : a.rank) - (b.rank < 0 ? Infinity : b.rank))
      .map(({ file }) => file)
  } catch (error) {
    if (error instanceof Problem && ['execution-unknown', 'file-missing'].includes(error.code)) return []
    throw error
  }
}

async function filesBelow(
  workDirectory: string,
  root: string,
  below: string,
  depth: number,
): Promise<readonly OutputFile[]> {
  const files: OutputFile[] = []
  for (const { name, type, sizeBytes } of await listDirectory(workDirectory, join(root, below))) {
    const path = below === '' ? name : `${below}/${name}`
    if (type === 'directory' && depth > 0)
      files.push(...(await filesBelow(workDirectory, root, path, depth - 1)))
    else if (type === 'file')
      files.push({ name: path, bytes: sizeBytes, read: () => readInside(workDirectory, join(root, path)) })
    if (files.length >= mostFiles) return files.slice(0, mostFiles)
  }
  return files
}

async function* readInside(workDirectory: string, path: string): AsyncGenerator<Buffer> {
  const { handle } = await openInside(workDirectory, path)
  await using _closing = handle
  yield* handle.createReadStream({ autoClose: false, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
}

async function describedOutputs(
  app: string,
  { catalog }: Pick<SubmissionParts, 'catalog'>,
): Promise<readonly RegExp[]> {
  try {
    const { description } = await catalog.find(app)
    return description.outputs.map(({ path }) => {
      const parts = path.split('*').map((part) => part.replaceAll(/[^\w/]/g, String.raw`\$&`))
      return new RegExp(`^${parts.join('[^/]*')}$`)
    })
  } catch (error) {
    // Its outputs stay when an app has been removed; nobody knows their order then.
    if (error instanceof Problem) return []
    throw error
  }
}
