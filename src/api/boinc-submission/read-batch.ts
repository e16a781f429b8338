import { childNamed, childText, childrenNamed, textOf, type XmlElement } from '../xml.ts'
import { readBounds, type JobBounds } from './job-bounds.ts'
import { readInteger, readNumber } from './read-number.ts'
import {
  readInputTemplate,
  readOutputTemplate,
  type InputTemplate,
  type OutputTemplate,
} from './templates.ts'
import { refuse } from './refuse.ts'

/** A batch as it was asked for. What is undefined was not said. */
export interface BatchSpecification {
  readonly app: string
  /** Of a batch that was created before; 0 for a new one. */
  readonly batchId: number
  readonly name: string | undefined
  /** Larger is sooner, among the batches of one user. */
  readonly priority: number
  readonly inputTemplateName: string | undefined
  readonly outputTemplateName: string | undefined
  /** `job_params`. */
  readonly bounds: JobBounds
  readonly jobs: readonly JobSpecification[]
}

export interface JobSpecification {
  readonly name: string | undefined
  readonly commandLine: string
  readonly operationsEstimate: number | undefined
  readonly inputFiles: readonly InputFileSource[]
  readonly inputTemplate: InputTemplate | undefined
  readonly outputTemplate: OutputTemplate | undefined
  /** Whether it is meant for some host, user or team only. */
  readonly isTargeted: boolean
}

/** Where an input file comes from. */
export type InputFileSource =
  | { readonly kind: 'inline'; readonly content: string }
  | { readonly kind: 'url'; readonly url: string; readonly bytes?: number; readonly md5?: string }
  | { readonly kind: 'path'; readonly path: string }
  /** A file that the user has uploaded under this name. */
  | { readonly kind: 'upload'; readonly name: string }

/** Reads what estimate and submit are about, of any generation. Throws Problem. */
export function readBatch(root: XmlElement): BatchSpecification {
  const batch = childNamed(root, 'batch')
  if (batch === undefined) throw refuse("can't parse request message: there is no batch in it")
  return {
    app: childText(batch, 'app_name') ?? childText(batch, 'app') ?? '',
    batchId: readInteger(batch, 'batch_id') ?? 0,
    name: childText(batch, 'batch_name') || undefined,
    priority: Math.trunc(readNumber(batch, 'priority') ?? readNumber(root, 'priority') ?? 0),
    inputTemplateName:
      ['input_template_filename', 'workunit_template_file', 'input_template']
        .map((name) => childText(batch, name))
        .find((text) => text !== undefined && text !== '') ?? undefined,
    outputTemplateName:
      ['output_template_filename', 'result_template_file', 'output_template']
        .map((name) => childText(batch, name))
        .find((text) => text !== undefined && text !== '') ?? undefined,
    bounds: readBounds(childNamed(batch, 'job_params')),
    jobs: childrenNamed(batch, 'job').map((job) => readJob(job)),
  }
}

function readJob(job: XmlElement): JobSpecification {
  const template = (name: string) => {
    const found = childNamed(job, name)
    return found?.children.some((child) => typeof child !== 'string') === true ? found : undefined
  }
  const input = template('input_template')
  const output = template('output_template')
  return {
    name: childText(job, 'name') || undefined,
    commandLine: childText(job, 'command_line') ?? '',
    operationsEstimate: readNumber(job, 'rsc_fpops_est'),
    inputFiles: childrenNamed(job, 'input_file').map((file) => readInputFile(file)),
    inputTemplate: input === undefined ? undefined : readInputTemplate(input),
    outputTemplate: output === undefined ? undefined : readOutputTemplate(output),
    isTargeted: ['target_team', 'target_user', 'target_host'].some(
      (name) => readNumber(job, name) !== undefined,
    ),
  }
}

function readInputFile(file: XmlElement): InputFileSource {
  const mode = childText(file, 'mode')
  if (mode === undefined) return placeOf(childText(file, 'source') ?? textOf(file).trim())
  const source = childNamed(file, 'source')
  const name = source === undefined ? '' : textOf(source).trim()
  switch (mode) {
    case 'inline':
      return { kind: 'inline', content: source === undefined ? '' : textOf(source) }
    case 'local':
      return { kind: 'path', path: name }
    case 'semilocal':
      return { kind: 'url', url: name }
    case 'remote': {
      const bytes = readNumber(file, 'nbytes')
      const md5 = childText(file, 'md5')?.toLowerCase() ?? ''
      if (!/^[0-9a-f]{32}$/.test(md5)) throw refuse('unsupported file mode: remote without its md5')
      return { kind: 'url', url: childText(file, 'url') ?? '', md5, ...(bytes !== undefined && { bytes }) }
    }
    case 'local_staged':
    case 'sandbox':
      return { kind: 'upload', name }
    default:
      throw refuse(`unsupported file mode: ${mode.slice(0, 40)}`)
  }
}

function placeOf(text: string): InputFileSource {
  return text.includes('://') ? { kind: 'url', url: text } : { kind: 'path', path: text }
}
