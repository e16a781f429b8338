import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { priorityLabel } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import { checkTemplateNames, defaultBounds, findApp, jobInputs, type App } from './apps.ts'
import { batchInputs, batchScript, inputPath, placeBatch, type PreparedJob } from './batch-script.ts'
import { meanRunSeconds, unfinishedJobs } from './batch-view.ts'
import { estimateSeconds, operationsPerSecond } from './estimate.ts'
import { GatheredFiles } from './input-files.ts'
import type { JobBounds } from './job-bounds.ts'
import type { Credentials, SubmissionParts, Submitter } from './parts.ts'
import type { BatchSpecification, JobSpecification } from './read-batch.ts'
import { refuse } from './refuse.ts'
import { NameInUse, type BatchRecord } from './store.ts'

/** Label of the execution of a batch, by which it is found again when a submit was cut short. */
export const batchLabel = 'boinc.batch'

/** So many instances of a job can be asked for by digest. */
export const digestedInstances = 4

/** Seconds that a batch would take if it were submitted now. Throws Problem in the words of BOINC. */
export async function estimateBatch(
  batch: BatchSpecification,
  submitter: Submitter,
  parts: SubmissionParts,
): Promise<number> {
  const app = await checkBatch(batch, parts)
  return estimateOf(app, batch, submitter, parts)
}

/**
 * Starts a batch as one execution with one job for each of its jobs, and answers with its number when all is
 * committed. Throws Problem in the words of BOINC; then nothing is left of it.
 */
export async function submitBatch(
  batch: BatchSpecification,
  generation: BatchRecord['generation'],
  submitter: Submitter & Credentials,
  parts: SubmissionParts,
  signal: AbortSignal,
): Promise<number> {
  const app = await checkBatch(batch, parts)
  const estimatedSeconds = estimateOf(app, batch, submitter, parts)
  const { store } = parts
  const { owner } = submitter
  const reserved = reserve(app, batch, { generation, estimatedSeconds }, submitter, parts)
  const { id } = reserved
  let execution = ''
  try {
    if (batch.jobs.length > 0) execution = await startBatch(app, batch, id, submitter, parts, signal)
    store.changeBatch(id, { phase: 'started', execution, submittedAt: parts.now() })
    return id
  } catch (error) {
    if (execution !== '') await submitter.executions.remove(execution)
    store.transaction(() => giveBack(store.batch(owner, { id }), parts))
    throw told(error)
  }
}

/** Puts a batch back to what it was before a submit that came to nothing. */
export function giveBack(batch: BatchRecord | undefined, { store }: Pick<SubmissionParts, 'store'>): void {
  if (batch === undefined) return
  store.deleteJobs(batch.id)
  if (batch.isPrepared) store.changeBatch(batch.id, { phase: 'init', jobs: 0 })
  else store.deleteBatch(batch.id)
}

async function checkBatch(batch: BatchSpecification, parts: SubmissionParts): Promise<App> {
  const app = await findApp(parts.catalog, batch.app)
  checkTemplateNames(app, batch)
  const { jobs } = batch
  if (jobs.length > parts.maxJobs) throw refuse('limit on jobs in progress exceeded')
  for (const [number, job] of jobs.entries()) {
    if (job.inputFiles.length !== app.files.length)
      throw refuse(
        `wrong # of input files for job ${number}: need ${app.files.length}, got ${job.inputFiles.length}`,
      )
    if (job.isTargeted) throw refuse('create_work failed: this app does not run on chosen hosts')
    if (job.name !== undefined && !/^[A-Za-z0-9._-]{1,200}$/.test(job.name))
      throw refuse(
        `create_work failed: ${JSON.stringify(job.name.slice(0, 100))} cannot be the name of a job`,
      )
  }
  return app
}

function estimateOf(
  app: App,
  { jobs, bounds }: BatchSpecification,
  submitter: Submitter,
  parts: SubmissionParts,
): number {
  const operations = jobs.reduce(
    (sum, job) =>
      sum +
      (job.operationsEstimate ??
        job.inputTemplate?.bounds.operationsEstimate ??
        bounds.operationsEstimate ??
        defaultBounds.operationsEstimate),
    0,
  )
  return estimateSeconds({
    jobs: jobs.length,
    operations,
    meanSeconds: meanRunSeconds(app.name, submitter, parts),
    jobsBefore: unfinishedJobs(submitter, parts),
    slots: parts.slots,
  })
}

function reserve(
  app: App,
  batch: BatchSpecification,
  { generation, estimatedSeconds }: Pick<BatchRecord, 'generation' | 'estimatedSeconds'>,
  { owner, authenticator, keyId }: Submitter & Credentials,
  { store, now }: SubmissionParts,
): { readonly id: number } {
  const at = now()
  const { jobs } = batch
  try {
    return store.transaction(() => {
      const prepared = batch.batchId === 0 ? undefined : findPrepared(batch.batchId, owner, store)
      const id =
        prepared?.id ??
        store.addBatch({
          owner,
          app: app.name,
          name: batch.name ?? defaultBatchName(owner, app.name, at),
          generation,
          phase: 'making',
          isPrepared: false,
          jobs: jobs.length,
          createdAt: at,
          submittedAt: at,
          expireAt: 0,
          estimatedSeconds,
        })
      store.changeBatch(id, {
        phase: 'making',
        app: app.name,
        generation,
        jobs: jobs.length,
        estimatedSeconds,
        keyId,
        digest: digest(authenticator, String(id)),
      })
      const names = jobs.map((job, number) =>
        generation === 'third' && job.name !== undefined ? job.name : `batch_${id}_${number}`,
      )
      const ids = store.addJobs(id, owner, names)
      for (const [number, job] of ids.entries())
        store.keepDigests(job, digestsOf(authenticator, job, names[number] ?? ''))
      return { id }
    })
  } catch (error) {
    if (error instanceof NameInUse) throw refuse(`create_work failed: ${error.message}`, error)
    throw error
  }
}

function findPrepared(id: number, owner: string, store: SubmissionParts['store']): BatchRecord {
  const found = store.batch(owner, { id })
  // A foreign one is to him as if it were not there.
  if (found === undefined) throw refuse(`no batch ${id}`)
  if (found.phase !== 'init' || found.abortedAt > 0 || found.retiredAt > 0)
    throw refuse('batch not in init state')
  return found
}

/** As BOINC makes it: the user, the app and a date of RFC 2822. */
export function defaultBatchName(owner: string, app: string, at: number): string {
  return `${owner}:${app}:${new Date(at).toUTCString().replace('GMT', '+0000')}`
}

async function startBatch(
  app: App,
  batch: BatchSpecification,
  id: number,
  { owner, executions }: Submitter,
  parts: SubmissionParts,
  signal: AbortSignal,
): Promise<string> {
  const { store, catalog } = parts
  const findUpload = (name: string) => {
    const file = store.file(owner, name)
    if (file === undefined) return undefined
    store.useFile(owner, name, id)
    return join(parts.uploadDirectory(owner), file.sha256)
  }
  await using gathered = new GatheredFiles(join(parts.gatherDirectory, randomUUID()), parts.files, findUpload)
  const jobs: PreparedJob[] = []
  for (const [number, job] of batch.jobs.entries())
    jobs.push(await prepareJob(app, job, number, gathered, signal))
  const script = batchScript(app, longestTimeMs(batch))
  const environment = parts.environments.get(app.name)
  return await executions.start({
    script: script.path,
    name: app.name,
    inputs: batchInputs(app, jobs),
    labels: { [batchLabel]: String(id), [priorityLabel]: String(batch.priority) },
    ...(environment !== undefined && { environment }),
    signal,
    async fill(workDirectory) {
      await catalog.fill(app.name, workDirectory)
      await placeBatch(workDirectory, script, jobs, gathered)
    },
  })
}

async function prepareJob(
  app: App,
  job: JobSpecification,
  number: number,
  gathered: GatheredFiles,
  signal: AbortSignal,
): Promise<PreparedJob> {
  const openNames = app.openNames.map((name, index) => job.inputTemplate?.openNames[index] || name)
  const wrong = openNames.find((name) => !isFileName(name))
  if (wrong !== undefined)
    throw refuse(`create_work failed: ${JSON.stringify(wrong.slice(0, 100))} cannot be the name of a file`)
  const files: { gathered: string; path: string }[] = []
  for (const [index, source] of job.inputFiles.entries()) {
    const name = await gathered.gather(source, signal)
    files.push({ gathered: name, path: inputPath(name, openNames[index] ?? '') })
  }
  try {
    return {
      files,
      inputs: jobInputs(
        app,
        job.commandLine,
        files.map(({ path }) => path),
      ),
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    throw refuse(`create_work failed: job ${number}: ${error.message}`, error)
  }
}

/** Names of files that users may choose. */
export function isFileName(name: string): boolean {
  return /^[A-Za-z0-9._ -]{1,255}$/.test(name) && name !== '.' && name !== '..'
}

/** All jobs of an execution have one limit: the longest that a job asks for, so that none is cut short. */
function longestTimeMs({ bounds, jobs }: BatchSpecification): number | undefined {
  const operations = jobs.map(
    (job) => operationsBoundOf(job.inputTemplate?.bounds) ?? operationsBoundOf(bounds) ?? Infinity,
  )
  const longest = operations.reduce((most, each) => Math.max(most, each), 0)
  const timeMs = Math.ceil((longest / operationsPerSecond) * 1000)
  return timeMs > 0 && timeMs < 2 ** 40 ? timeMs : undefined
}

function operationsBoundOf(bounds: JobBounds | undefined): number | undefined {
  return bounds?.operationsBound
}

function digestsOf(authenticator: string, id: number, name: string): Uint8Array {
  const instances = Array.from({ length: digestedInstances }, (_, index) =>
    digest(authenticator, `${name}_${index}`),
  )
  return Buffer.concat([digest(authenticator, String(id)), ...instances])
}

/** What BOINC's clients send instead of the authenticator in the addresses of outputs. */
function digest(authenticator: string, what: string): Uint8Array {
  return createHash('md5')
    .update(authenticator + what)
    .digest()
}

function told(error: unknown): unknown {
  if (!(error instanceof Problem)) return error
  const words = ['script-invalid', 'workflow-invalid', 'inputs-invalid', 'script-missing']
  return words.includes(error.code) ? refuse(`create_work failed: ${error.message}`, error) : error
}
