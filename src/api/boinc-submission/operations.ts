import { xml, type XmlContent, type XmlNode } from '../write-xml.ts'
import {
  batchParameters,
  batchStatus,
  completedJob,
  jobInstances,
  jobOfBatch,
  jobOfCondor,
  jobStatus,
  runSeconds,
  seconds,
} from './answers.ts'
import { defaultBounds, findApp } from './apps.ts'
import { abortBatch, abortJobs, retireBatch } from './abort.ts'
import { viewBatch, viewJobs, type JobView } from './batch-view.ts'
import { isOver } from './job-states.ts'
import { outputFilesOf } from './outputs.ts'
import type { FileOperation } from './file-operations.ts'
import type { Credentials, SubmissionParts, Submitter } from './parts.ts'
import type { BatchReference, Generation, Operation } from './read-request.ts'
import { refuse } from './refuse.ts'
import type { BatchRecord, JobRecord } from './store.ts'
import { defaultBatchName, estimateBatch, submitBatch } from './submit.ts'
import { inputTemplate, outputTemplate } from './templates.ts'

/**
 * An end is seen only when it is on the disk, and that takes a while on a busy server. What changed shortly before the
 * last look is told again, which does no harm.
 */
const toldLateMs = 60_000

/** Operations on batches and jobs. */
type BatchOperation = Exclude<Operation, { readonly kind: 'ping' } | FileOperation>

/** One operation of a submitter, with what its answer depends on. */
export interface OperationCall {
  /** Name of the root of the answer, for those of today. */
  readonly name: string
  readonly operation: BatchOperation
  readonly generation: 'first' | 'third'
  readonly submitter: Submitter & Credentials
  readonly signal: AbortSignal
}

/** Does an operation, and answers with its reply. Throws Problem in the words of BOINC. */
export async function operate(call: OperationCall, parts: SubmissionParts): Promise<XmlNode> {
  const { operation, generation, name, submitter, signal } = call
  const isFirst = generation === 'first'
  const { store, now } = parts
  switch (operation.kind) {
    case 'estimate': {
      const estimated = xml('seconds', seconds(await estimateBatch(operation.batch, submitter, parts)))
      return xml(isFirst ? 'estimate' : name, estimated)
    }
    case 'submit': {
      const id = await submitBatch(operation.batch, generation, submitter, parts, signal)
      return isFirst ? xml('batch_id', id) : xml(name, xml('batch_id', id))
    }
    case 'create':
      return xml(name, xml('batch_id', await createBatch(operation, submitter, parts)))
    case 'query-batches': {
      const batches = store.batches(submitter.owner).filter(({ retiredAt }) => retiredAt === 0)
      const { withCpuTime } = operation
      return xml(
        name,
        ...batches.map((batch) => xml('batch', ...describe(batch, withCpuTime, submitter, parts))),
      )
    }
    case 'query-batch': {
      const batch = findBatch(operation.batch, submitter, parts)
      if (isFirst) return batchStatus(viewBatch(batch, submitter, parts))
      const jobs = viewJobs(batch, submitter, parts)
      return xml(
        name,
        ...describe(batch, operation.withCpuTime, submitter, parts, jobs),
        ...jobs.map((job) => jobOfBatch(job, operation.withDetails)),
      )
    }
    case 'query-batch2': {
      const serverTime = now()
      const since = operation.sinceSeconds * 1000 - toldLateMs
      const batches = operation.names.map((each) => findBatch({ name: each }, submitter, parts))
      return xml(
        name,
        xml('server_time', seconds(serverTime / 1000)),
        ...batches.flatMap((batch): XmlContent[] => {
          const jobs = viewJobs(batch, submitter, parts).filter(({ changedAt }) => changedAt >= since)
          return [xml('batch_size', jobs.length), ...jobs.map((job) => jobOfCondor(job))]
        }),
      )
    }
    case 'abort-batch': {
      await abortBatch(findBatch(operation.batch, submitter, parts), submitter, parts)
      return isFirst ? xml('aborted') : succeeded(name)
    }
    case 'retire-batch': {
      await retireBatch(findBatch(operation.batch, submitter, parts), submitter, parts)
      return succeeded(name)
    }
    case 'set-expire-time': {
      const { id } = findBatch(operation.batch, submitter, parts)
      store.changeBatch(id, { expireAt: operation.expireSeconds * 1000 })
      return succeeded(name)
    }
    case 'query-job': {
      const view = viewJob(findJob(operation.job, submitter, parts), submitter, parts)
      if (isFirst) return jobStatus(view, now())
      const files = await outputFilesOf(view, submitter, parts)
      return xml(
        name,
        ...jobInstances(
          view,
          files.map(({ bytes }) => bytes),
        ),
      )
    }
    case 'query-completed-job': {
      const view = viewJob(findNamed(operation.name, submitter, parts), submitter, parts)
      if (!isOver(view.standing)) throw refuse(`no job ${operation.name}: it has not ended`)
      return xml(name, completedJob(view, view.error ?? ''))
    }
    case 'abort-jobs': {
      const jobs = operation.names.map((each) => findNamed(each, submitter, parts))
      await abortJobs(jobs, submitter, parts)
      return succeeded(name)
    }
    case 'get-templates':
      return xml(name, xml('templates', ...(await templatesOf(operation.of, submitter, parts))))
  }
}

/** In which manner an operation is answered that looks the same in both. */
export function resolveGeneration(
  generation: Generation,
  read: () => Operation,
  { owner }: Pick<Submitter, 'owner'>,
  { store }: Pick<SubmissionParts, 'store'>,
): 'first' | 'third' {
  if (generation !== 'of-batch') return generation
  const operation = read()
  const reference = 'batch' in operation && !('jobs' in operation.batch) ? operation.batch : undefined
  return (reference === undefined ? undefined : store.batch(owner, reference)?.generation) ?? 'third'
}

async function createBatch(
  { app, name, expireSeconds }: Operation & { kind: 'create' },
  { owner }: Submitter,
  parts: SubmissionParts,
): Promise<number> {
  await findApp(parts.catalog, app)
  const at = parts.now()
  return parts.store.addBatch({
    owner,
    app,
    name: name ?? defaultBatchName(owner, app, at),
    generation: 'third',
    phase: 'init',
    isPrepared: true,
    jobs: 0,
    createdAt: at,
    submittedAt: 0,
    expireAt: expireSeconds * 1000,
    estimatedSeconds: 0,
  })
}

function describe(
  batch: BatchRecord,
  withCpuTime: boolean,
  submitter: Submitter,
  parts: SubmissionParts,
  jobs?: readonly JobView[],
): readonly XmlNode[] {
  const now = parts.now()
  const cpuSeconds = withCpuTime
    ? (jobs ?? viewJobs(batch, submitter, parts)).reduce((sum, job) => sum + runSeconds(job, now), 0)
    : undefined
  return batchParameters(viewBatch(batch, submitter, parts), now, cpuSeconds)
}

function succeeded(name: string): XmlNode {
  return xml(name, xml('success', 1))
}

function findBatch(reference: BatchReference, { owner }: Submitter, { store }: SubmissionParts): BatchRecord {
  const batch = store.batch(owner, reference)
  if (batch !== undefined && batch.phase !== 'making') return batch
  throw refuse('id' in reference ? 'no such batch' : `no batch named ${reference.name.slice(0, 255)}`)
}

/** A job by its id, by its name, or as `batch_ID_N`. */
function findJob(
  wanted: { readonly id: number } | { readonly name: string },
  { owner }: Submitter,
  { store }: SubmissionParts,
): JobRecord {
  const named = store.job(owner, wanted)
  if (named !== undefined) return named
  const [, batch, number] = /^batch_(\d{1,10})_(\d{1,10})$/.exec('name' in wanted ? wanted.name : '') ?? []
  const found =
    batch === undefined ? undefined : store.job(owner, { batch: Number(batch), number: Number(number) })
  if (found === undefined) throw refuse('no such job')
  return found
}

function findNamed(name: string, submitter: Submitter, parts: SubmissionParts): JobRecord {
  try {
    return findJob({ name }, submitter, parts)
  } catch (error) {
    throw refuse(`no job ${name.slice(0, 255)}`, error)
  }
}

function viewJob(job: JobRecord, submitter: Submitter, parts: SubmissionParts): JobView {
  const batch = parts.store.batch(submitter.owner, { id: job.batch })
  const view = batch === undefined ? undefined : viewJobs(batch, submitter, parts)[job.number]
  if (view === undefined) throw refuse('no such job')
  return view
}

async function templatesOf(
  of: { readonly app: string } | { readonly job: string },
  submitter: Submitter,
  parts: SubmissionParts,
): Promise<readonly XmlNode[]> {
  const name = 'app' in of ? of.app : appOfJob(of.job, submitter, parts)
  const app = await findApp(parts.catalog, name)
  return [inputTemplate(app.openNames, defaultBounds), outputTemplate(app.outputs, parts.files.bytesAtMost)]
}

function appOfJob(name: string, submitter: Submitter, parts: SubmissionParts): string {
  let job: JobRecord
  try {
    job = findJob({ name }, submitter, parts)
  } catch (error) {
    throw refuse(`job not found: ${name.slice(0, 255)}`, error)
  }
  const batch = parts.store.batch(submitter.owner, { id: job.batch })
  if (batch === undefined) throw refuse(`job not found: ${name.slice(0, 255)}`)
  return batch.app
}
