import type { PlanDescription } from '../../workflow/plan.ts'
import { dataInputOf } from './describe.ts'
import { isTooDeep } from './json-depth.ts'

/** What a client asks for, whichever of the three generations of caesar-rest it was written for. */
export interface Submission {
  readonly app: string
  readonly tag: string
  /** As it was sent, for the answer. */
  readonly dataInputs: unknown
  readonly data: readonly DataReference[]
  /** What was chosen, without data. Not yet known to be an object. */
  readonly options: unknown
  /** What was chosen as the client is told it, and by which name. */
  readonly echo:
    Readonly<Record<'job_inputs' | 'job_options', unknown>> | Readonly<Record<'job_inputs', unknown>>
}

/** Where data come from: an upload, an installed data set, or a path on the server. */
export interface DataReference {
  readonly format: 'uid' | 'dataset' | 'abspath'
  readonly name: string
}

/** `app` is what is known of the app when the request is refused. */
export type ReadSubmission =
  | { readonly kind: 'submission'; readonly submission: Submission }
  | { readonly kind: 'refused'; readonly status: string; readonly app: string }

/** Names of the input in the bodies of the first generation, besides the app's own. */
const inputOptions = ['inputfile', 'image']

type JsonObject = Readonly<Record<string, unknown>>

/** Takes the body of `POST /job` apart. `describe` says what an app declares; undefined for one that is not known. */
export async function readSubmission(
  text: string,
  contentType: string,
  describe: (app: string) => Promise<PlanDescription | undefined>,
): Promise<ReadSubmission> {
  const body = parseBody(text, contentType)
  if (body === undefined) return refused('Invalid request data!', '')
  const { app: name, tag } = body
  if (typeof name !== 'string' || name === '') return refused('No app name found in request!', '')
  const app = name.slice(0, 200)
  const description = await describe(name)

  const shared = { app: name, tag: tag === undefined || tag === null ? '' : textOf(tag).slice(0, 1000) }
  const { data_inputs: dataInputs } = body
  if (Object.hasOwn(body, 'job_options') || isObject(dataInputs)) {
    const options = body['job_options'] ?? {}
    const data = readReferences(dataInputs, description)
    return typeof data === 'string'
      ? refused(data, app)
      : accepted({
          ...shared,
          dataInputs,
          data,
          options,
          echo: { job_options: options, job_inputs: body['job_inputs'] ?? {} },
        })
  }
  const inputs = body['job_inputs']
  if (isFalsy(inputs)) return refused('No job inputs field found in request!', app)
  if (dataInputs !== undefined) {
    if (typeof dataInputs !== 'string') return refused(noSuchFile, app)
    const format = body['is_data_inputs_uid'] === false ? 'abspath' : 'uid'
    const data = [{ format, name: dataInputs }] as const
    return accepted({ ...shared, dataInputs, data, options: inputs, echo: { job_inputs: inputs } })
  }
  return readFirstGeneration(shared, inputs, description)
}

/** The first generation names the file among the options, by a path of its server or by the id alone. */
function readFirstGeneration(
  shared: Pick<Submission, 'app' | 'tag'>,
  inputs: unknown,
  description: PlanDescription | undefined,
): ReadSubmission {
  const own = description === undefined ? undefined : dataInputOf(description)?.name
  const names = own === undefined ? inputOptions : [own, ...inputOptions]
  const name = isObject(inputs) ? names.find((each) => Object.hasOwn(inputs, each)) : undefined
  if (name === undefined || !isObject(inputs))
    return description !== undefined && !needsData(description)
      ? accepted({ ...shared, dataInputs: '', data: [], options: inputs, echo: { job_inputs: inputs } })
      : refused('No data inputs field found in request!', shared.app.slice(0, 200))
  const { [name]: path, ...options } = inputs
  const uid = typeof path === 'string' ? path.slice(path.lastIndexOf('/') + 1) : ''
  const data = [{ format: 'uid', name: uid.replace(/\.[A-Za-z0-9]+$/, '') }] as const
  // Without the path: it is one of another server.
  return accepted({
    ...shared,
    dataInputs: uid,
    data,
    options,
    echo: { job_inputs: { ...options, [name]: uid } },
  })
}

/** The data of the third generation: one or several names, with one format for all or one each. Or why not. */
function readReferences(
  dataInputs: unknown,
  description: PlanDescription | undefined,
): readonly DataReference[] | string {
  if (dataInputs === undefined)
    return description !== undefined && !needsData(description)
      ? []
      : 'No data inputs field found in request!'
  if (typeof dataInputs === 'string') return [{ format: 'uid', name: dataInputs }]
  if (!isObject(dataInputs)) return noSuchFile
  const names = [dataInputs['data']].flat()
  const formats = [dataInputs['format'] ?? 'uid'].flat()
  if (names.length === 0 || names.length > 1000) return noSuchFile
  const references: DataReference[] = []
  for (const [index, name] of names.entries()) {
    const format: unknown = formats.length === 1 ? formats[0] : formats[index]
    if (typeof name !== 'string' || (format !== 'uid' && format !== 'dataset' && format !== 'abspath'))
      return noSuchFile
    references.push({ format, name })
  }
  return references
}

/** An app that has data of its own, or works without, needs none. */
function needsData(description: PlanDescription): boolean {
  const data = dataInputOf(description)
  return data !== undefined && (data.isMandatory || data.default === undefined)
}

export const noSuchFile = 'Cannot find file corresponding to given data input uid!'

function parseBody(text: string, contentType: string): JsonObject | undefined {
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(contentType.trim())) return undefined
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(body) || Object.keys(body).length === 0 || isTooDeep(body)) return undefined
  return body
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What Python takes for nothing. */
function isFalsy(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function accepted(submission: Submission): ReadSubmission {
  return { kind: 'submission', submission }
}

function refused(status: string, app: string): ReadSubmission {
  return { kind: 'refused', status, app }
}
