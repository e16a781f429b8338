import { timingSafeEqual } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { Problem } from '../../problem.ts'
import { executionsOf } from '../access/executions-of.ts'
import { attachment } from '../content-disposition.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import { streamBody } from '../stream-body.ts'
import { instanceCount, readInstanceId } from './answers.ts'
import { isUnderWay, viewJobs, type JobView } from './batch-view.ts'
import { isOver } from './job-states.ts'
import { outputFilesOf, type OutputFile } from './outputs.ts'
import type { SubmissionParts, Submitter } from './parts.ts'
import type { BatchRecord, JobRecord } from './store.ts'
import { digestedInstances } from './submit.ts'
import { fitsZip, writeZip } from './zip.ts'

const optional = z.string().optional()
const parameters = z.object({
  cmd: z.string('cmd is missing').meta({ description: 'What is wanted.' }),
  auth_str: optional.meta({ description: 'The authenticator, or a digest of it.' }),
  auth: optional.meta({ description: 'The authenticator.' }),
  result_name: optional,
  result_id: optional,
  wu_id: optional,
  wu_name: optional,
  batch_id: optional,
  file_num: optional,
})

type OutputCall = Call<z.output<typeof parameters>>

/** What is wanted: of one job, or of a whole batch. */
type Wanted =
  | { readonly kind: 'job'; readonly job: JobRecord; readonly instance: number | undefined }
  | { readonly kind: 'batch'; readonly batch: BatchRecord }

/** The addresses of outputs, in both generations. */
export function outputRoutes(parts: SubmissionParts): readonly Route[] {
  return ['get_output.php', 'get_output2.php'].flatMap((file) =>
    [`/${file}`, `//${file}`].map((path) =>
      rawRoute({
        method: 'GET',
        path: path as `/${string}`,
        access: 'open',
        audit: 'download',
        summary: 'Outputs of a job or of a batch.',
        parameters,
        problems: ['parameter-invalid', 'token-invalid', 'file-missing'],
        answer: {
          status: 200,
          description: 'A file, or a zip archive.',
          contentType: 'application/octet-stream',
        },
        handle: async (call) => {
          try {
            return await answer(call, parts)
          } catch (error) {
            if (error instanceof Problem) return refusal(error)
            throw error
          }
        },
      }),
    ),
  )
}

/** As text, in the words of BOINC; with a status that scripts can see. */
function refusal({ message, telling: { status } }: Problem): Response {
  return new Response(`ERROR: ${message}\n`, {
    status: status < 400 || status === 401 ? 403 : status,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  })
}

async function answer(call: OutputCall, parts: SubmissionParts): Promise<Response> {
  const { owner, wanted } = identify(call, parts)
  const submitter: Submitter = {
    owner,
    executions: executionsOf(parts.executions, {
      kind: 'user',
      id: '',
      name: owner,
      rights: { submitter: true, workflows: 'catalog' },
    }),
  }
  const isSingle = ['result_file', 'workunit_file', 'file'].includes(call.parameters.cmd)
  if (wanted.kind === 'batch') {
    const views = viewJobs(wanted.batch, submitter, parts)
    await settle(wanted.batch, views, submitter, call.signal)
    return sendZip(call, `batch_${wanted.batch.id}.zip`, await outputsOf(views, submitter, parts))
  }
  const batch = parts.store.batch(owner, { id: wanted.job.batch })
  const view = batch === undefined ? undefined : viewJobs(batch, submitter, parts)[wanted.job.number]
  if (view === undefined) throw missing('no such job')
  const last = instanceCount(view) - 1
  if (wanted.instance !== undefined && wanted.instance !== last) throw missing('no such output file')
  const files = await writtenFilesOf(view, submitter, parts, call.signal)
  const name = `${view.job.name}_${last}`
  if (!isSingle) return sendZip(call, `${name}.zip`, files)
  const file = files[Number(call.parameters.file_num ?? 0)]
  if (file === undefined) throw missing('no such output file')
  return send(call, `${name}__${file.name.replaceAll('/', '_')}`, file.read(), file.bytes)
}

/** What a job has left. Files appear a moment after a job has ended: while its batch goes on, they are waited for. */
async function writtenFilesOf(
  view: JobView,
  submitter: Submitter,
  parts: SubmissionParts,
  signal: AbortSignal,
): Promise<readonly OutputFile[]> {
  const look = () => outputFilesOf(view, submitter, parts)
  const batch = parts.store.batch(submitter.owner, { id: view.job.batch })
  let files = await look()
  for (let tries = 0; tries < triesForFiles && files.length === 0 && view.standing === 'done'; tries += 1) {
    if (batch === undefined || !isUnderWay(batch, submitter)) return look()
    await delay(betweenTriesMs, undefined, { signal })
    files = await look()
  }
  return files
}

/** Waits a moment for the end of a batch whose jobs have all ended: then all their files are there. */
async function settle(
  batch: BatchRecord,
  views: readonly JobView[],
  submitter: Submitter,
  signal: AbortSignal,
): Promise<void> {
  if (!views.every(({ standing }) => isOver(standing))) return
  for (let tries = 0; tries < triesForFiles && isUnderWay(batch, submitter); tries += 1)
    await delay(betweenTriesMs, undefined, { signal })
}

const triesForFiles = 20
const betweenTriesMs = 100

/** All outputs of a batch, each behind the name of its instance. */
async function outputsOf(
  views: readonly JobView[],
  submitter: Submitter,
  parts: SubmissionParts,
): Promise<readonly OutputFile[]> {
  const files: OutputFile[] = []
  for (const view of views) {
    const instance = `${view.job.name}_${instanceCount(view) - 1}`
    const own = await outputFilesOf(view, submitter, parts)
    files.push(
      ...own.map((file) => ({
        ...file,
        name: own.length === 1 ? `${instance}__${file.name}` : `${instance}/${file.name}`,
      })),
    )
  }
  return files
}

function sendZip(call: OutputCall, fileName: string, files: readonly OutputFile[]): Response {
  if (!fitsZip(files)) throw missing('the files are too large for one archive; fetch them one by one')
  return send(call, fileName, writeZip(files), undefined, 'application/zip')
}

function send(
  { breakOff }: OutputCall,
  fileName: string,
  content: AsyncIterable<Buffer>,
  lengthBytes: number | undefined,
  contentType = 'application/octet-stream',
): Response {
  const headers = new Headers({ 'content-type': contentType, 'content-disposition': attachment(fileName) })
  if (lengthBytes !== undefined) headers.set('content-length', String(lengthBytes))
  const source = Readable.from(content, { objectMode: false })
  return new Response(streamBody(source, { ...(lengthBytes !== undefined && { lengthBytes }), breakOff }), {
    headers,
  })
}

/** Finds what is wanted and whose it is. What is not there and what is another's is told alike. */
function identify(
  call: OutputCall,
  parts: SubmissionParts,
): { readonly owner: string; readonly wanted: Wanted } {
  const { auth_str: text, auth } = call.parameters
  const given = auth ?? text ?? ''
  if (given === '') throw new Problem('token-invalid', 'no authenticator')
  const isDigest = auth === undefined && /^[0-9a-f]{32}$/i.test(given)
  const known = isDigest ? undefined : parts.authentication.byKey(given, call.address)
  if (known?.rights.submitter === false) throw new Problem('token-invalid', 'no submit access')
  const wanted = find(call.parameters, parts.store).find((each) =>
    known === undefined
      ? isRightDigest(Buffer.from(given, 'hex'), each, parts)
      : ownerOf(each) === known.name,
  )
  if (wanted === undefined) throw new Problem('token-invalid', 'bad authenticator')
  if (known !== undefined) call.note({ principal: known })
  return { owner: ownerOf(wanted), wanted }
}

function ownerOf(wanted: Wanted): string {
  return wanted.kind === 'batch' ? wanted.batch.owner : wanted.job.owner
}

/** All that may be meant: names of jobs are unique for one user only. */
function find(asked: z.output<typeof parameters>, store: SubmissionParts['store']): readonly Wanted[] {
  const { cmd, result_name: resultName, result_id: resultId, wu_id: jobId, wu_name: jobName } = asked
  const ofJob = (job: JobRecord | undefined, instance?: number): readonly Wanted[] =>
    job === undefined ? [] : [{ kind: 'job', job, instance }]
  switch (cmd) {
    case 'result_file':
    case 'result':
    case 'file': {
      if (resultName === undefined) {
        const { job, index } = readInstanceId(Number(resultId ?? 0))
        return ofJob(store.anyJob(job), index)
      }
      const [, name = '', index] = /^(.+)_(\d{1,2})$/.exec(resultName) ?? []
      return store.jobsNamed(name).flatMap((job) => ofJob(job, Number(index)))
    }
    case 'workunit_files':
    case 'workunit':
      return ofJob(store.anyJob(Number(jobId ?? 0)))
    case 'workunit_file':
      return store.jobsNamed(jobName ?? '').flatMap((job) => ofJob(job))
    case 'batch_files':
    case 'batch': {
      const batch = store.anyBatch(Number(asked.batch_id ?? 0))
      return batch === undefined ? [] : [{ kind: 'batch', batch }]
    }
    default:
      throw new Problem('parameter-invalid', 'bad command')
  }
}

function isRightDigest(given: Uint8Array, wanted: Wanted, { store, users }: SubmissionParts): boolean {
  const batch = wanted.kind === 'batch' ? wanted.batch : store.anyBatch(wanted.job.batch)
  const user = batch === undefined ? undefined : users.find(batch.owner)
  // With the key or the right gone, a digest of the key is void.
  if (user?.rights.submitter !== true || user.keys.every(({ id }) => id !== batch?.keyId)) return false
  const expected = wanted.kind === 'batch' ? wanted.batch.digest : digestOf(wanted)
  return expected?.length === given.length && timingSafeEqual(given, expected)
}

function digestOf({ job, instance }: Wanted & { kind: 'job' }): Uint8Array | undefined {
  if (job.digests === null || (instance ?? 0) >= digestedInstances) return undefined
  const at = instance === undefined ? 0 : 16 * (instance + 1)
  return job.digests.subarray(at, at + 16)
}

function missing(text: string): Problem {
  return new Problem('file-missing', text)
}
