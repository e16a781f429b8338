import { childNamed, childText, childrenNamed, parseXml, textOf, type XmlElement } from '../xml.ts'
import { readBatch, type BatchSpecification } from './read-batch.ts'
import { readInteger, readNumber } from './read-number.ts'
import { refuse } from './refuse.ts'

/** How a request was asked, and so how it is answered: as in 2010, as today, or as the batch was made. */
export type Generation = 'first' | 'third' | 'of-batch'

/** A batch by its number, or the newest one of a name. */
export type BatchReference = { readonly id: number } | { readonly name: string }

/** One operation, as data. */
export type Operation =
  | { readonly kind: 'estimate' | 'submit'; readonly batch: BatchSpecification }
  | {
      readonly kind: 'create'
      readonly app: string
      readonly name: string | undefined
      readonly expireSeconds: number
    }
  | { readonly kind: 'query-batches'; readonly withCpuTime: boolean }
  | {
      readonly kind: 'query-batch'
      readonly batch: BatchReference
      readonly withCpuTime: boolean
      readonly withDetails: boolean
    }
  | { readonly kind: 'query-batch2'; readonly names: readonly string[]; readonly sinceSeconds: number }
  | { readonly kind: 'abort-batch' | 'retire-batch'; readonly batch: BatchReference }
  | { readonly kind: 'set-expire-time'; readonly batch: BatchReference; readonly expireSeconds: number }
  | { readonly kind: 'query-job'; readonly job: { readonly id: number } | { readonly name: string } }
  | { readonly kind: 'query-completed-job'; readonly name: string }
  | { readonly kind: 'abort-jobs'; readonly names: readonly string[] }
  | { readonly kind: 'get-templates'; readonly of: { readonly app: string } | { readonly job: string } }
  | { readonly kind: 'ping' }
  | {
      readonly kind: 'query-files' | 'upload-files'
      readonly batchId: number
      readonly deleteSeconds: number
      readonly names: readonly string[]
    }

/** What tells requests apart that look the same. */
export interface RequestOrigin {
  /** Last segment of the path: `job_control.php`. */
  readonly file: string
  /** Whether the XML came as the body itself instead of in a form. */
  readonly isRaw: boolean
}

/** A request before its operation is read, so that what is wrong with that is told in its own element. */
export interface BoincRequest {
  /** Name of the root element. */
  readonly operation: string
  readonly generation: Generation
  readonly authenticator: string
  /** Throws Problem in the words of BOINC. */
  read(): Operation
}

/** Reads a request. Throws Problem where it is no XML, or asks for nothing that there is. */
export function readRequest(text: string, origin: RequestOrigin): BoincRequest {
  let root: XmlElement
  try {
    root = parseXml(text)
  } catch (error) {
    throw refuse(`can't parse request message: ${error instanceof Error ? error.message : ''}`, error)
  }
  const { name } = root
  const reader = Object.hasOwn(readers, name) ? readers[name] : undefined
  if (reader === undefined) throw refuse('bad command')
  return {
    operation: name,
    generation: generationOf(root, origin),
    authenticator: childText(root, 'authenticator') ?? '',
    read: () => reader(root),
  }
}

function generationOf(root: XmlElement, { file, isRaw }: RequestOrigin): Generation {
  const has = (name: string) => childNamed(root, name) !== undefined
  switch (root.name) {
    case 'batch_estimate':
    case 'batch_submit':
      return 'first'
    case 'query_job':
      return has('job_id') || !has('name') ? 'third' : 'first'
    case 'query_batch':
    case 'abort_batch':
      if (['batch_name', 'get_cpu_time', 'get_job_details'].some((name) => has(name))) return 'third'
      if (file === 'submit_rpc_handler.php') return 'third'
      if (file === 'job_control.php' || file === 'submit.php' || isRaw) return 'first'
      return 'of-batch'
    default:
      return 'third'
  }
}

const submission =
  (kind: 'estimate' | 'submit') =>
  (root: XmlElement): Operation => ({ kind, batch: readBatch(root) })

const readers: Readonly<Record<string, (root: XmlElement) => Operation>> = {
  batch_estimate: submission('estimate'),
  batch_submit: submission('submit'),
  estimate_batch: submission('estimate'),
  submit_batch: submission('submit'),
  create_batch: (root) => ({
    kind: 'create',
    app: childText(root, 'app_name') ?? '',
    name: childText(root, 'batch_name') || undefined,
    expireSeconds: readNumber(root, 'expire_time') ?? 0,
  }),
  query_batches: (root) => ({ kind: 'query-batches', withCpuTime: isSet(root, 'get_cpu_time') }),
  query_batch: (root) => ({
    kind: 'query-batch',
    batch: readBatchReference(root),
    withCpuTime: isSet(root, 'get_cpu_time'),
    withDetails: isSet(root, 'get_job_details'),
  }),
  query_batch2: (root) => ({
    kind: 'query-batch2',
    names: textsOf(root, 'batch_name'),
    sinceSeconds: readNumber(root, 'min_mod_time') ?? 0,
  }),
  abort_batch: (root) => ({ kind: 'abort-batch', batch: readBatchReference(root) }),
  retire_batch: (root) => ({ kind: 'retire-batch', batch: readBatchReference(root) }),
  set_expire_time: (root) => ({
    kind: 'set-expire-time',
    batch: readBatchReference(root),
    expireSeconds: readNumber(root, 'expire_time') ?? 0,
  }),
  query_job: (root) => {
    const id = readInteger(root, 'job_id')
    if (id !== undefined) return { kind: 'query-job', job: { id } }
    const name = childText(root, 'name') ?? ''
    if (name === '') throw refuse('no such job')
    return { kind: 'query-job', job: { name } }
  },
  query_completed_job: (root) => ({
    kind: 'query-completed-job',
    name: childText(root, 'job_name') ?? '',
  }),
  abort_jobs: (root) => ({ kind: 'abort-jobs', names: textsOf(root, 'job_name') }),
  get_templates: (root) => {
    const job = childText(root, 'job_name')
    return { kind: 'get-templates', of: job ? { job } : { app: childText(root, 'app_name') ?? '' } }
  },
  ping: () => ({ kind: 'ping' }),
  query_files: (root) => ({ kind: 'query-files', ...readFileList(root) }),
  upload_files: (root) => ({ kind: 'upload-files', ...readFileList(root) }),
}

function readFileList(root: XmlElement) {
  return {
    batchId: readInteger(root, 'batch_id') ?? 0,
    deleteSeconds: readNumber(root, 'delete_time') ?? 0,
    names: textsOf(root, 'phys_name'),
  }
}

function readBatchReference(root: XmlElement): BatchReference {
  const id = readInteger(root, 'batch_id')
  if (id !== undefined) return { id }
  const name = childText(root, 'batch_name') ?? ''
  if (name === '') throw refuse('batch not specified')
  return { name }
}

function isSet(root: XmlElement, name: string): boolean {
  const child = childNamed(root, name)
  if (child === undefined) return false
  return textOf(child).trim() === '' || readNumber(root, name) !== undefined
}

function textsOf(root: XmlElement, name: string): readonly string[] {
  return childrenNamed(root, name).map((child) => textOf(child).trim())
}
