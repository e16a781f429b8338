import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import type { CatalogWorkflow } from '../../catalog/contract.ts'
import { Problem, toProblem } from '../../problem.ts'
import { checkInput } from '../../workflow/given-inputs.ts'
import type { PlanInput } from '../../workflow/plan.ts'
import { executionsOf } from '../access/executions-of.ts'
import { ownerOf } from '../access/principal.ts'
import { jsonRoute, type Call, type Route } from '../route.ts'
import { CaesarRefusal, dateText, httpStatusOf, sortKeys, tellBeside } from './answers.ts'
import { placeData, type DataFile } from './data-sources.ts'
import { dataInputOf } from './describe.ts'
import { pending } from './job-state.ts'
import { jobLabel } from './jobs.ts'
import { short, visibleOwner, type CaesarRooms } from './parts.ts'
import { isObject, noSuchFile, readSubmission, type Submission } from './read-submission.ts'
import { readOptions } from './read-options.ts'
import type { StoredJob } from './stored-jobs.ts'

/** For the description; the body is read by `readSubmission`, which knows what clients of all generations send. */
const bodySchema = z.object({
  app: z.string(),
  data_inputs: z
    .union([
      z.string(),
      z.object({
        data: z.union([z.string(), z.array(z.string())]),
        format: z.union([z.string(), z.array(z.string())]).optional(),
      }),
    ])
    .optional()
    .meta({ description: 'Id of an upload, or data with their format: `uid`, `dataset`, `abspath`.' }),
  job_inputs: z.record(z.string(), z.unknown()).optional().meta({ description: 'Options of the app.' }),
  job_options: z
    .record(z.string(), z.unknown())
    .optional()
    .meta({ description: 'The same, as later clients send them.' }),
  tag: z.string().optional(),
})

const answerSchema = z.object({
  app: z.string(),
  data_inputs: z.unknown(),
  ignored_options: z.array(z.string()).meta({ description: 'Options that the app does not have.' }),
  job_id: z.string(),
  job_inputs: z.unknown(),
  job_options: z.unknown().optional(),
  state: z.string(),
  status: z.string(),
  submit_date: z.string(),
  tag: z.string(),
})

/** What a job is started with. */
interface PreparedJob {
  readonly entry: CatalogWorkflow
  readonly inputs: Readonly<Record<string, unknown>>
  readonly ignored: readonly string[]
  /** Copies its data into the work directory. */
  readonly place: (workDirectory: string) => Promise<void>
}

/** The longest forms have some hundred options, and a thousand ids of files. All of it is kept with the job. */
const bodyBytesAtMost = 128 * 1024

/** What a submission that failed is told beside its `status`. */
const noJob = { app: '', job_id: '', state: 'ABORTED', submit_date: '' }

/** Data lie in `inputs/NAME/`, so that the files of the workflow stay as they are. */
const folder = 'inputs'

/** Submits jobs: the bodies of all three generations of clients. */
export function submitRoute(rooms: CaesarRooms): Route {
  const { executions, catalog, store, jobs, settings, now } = rooms

  const findApp = async (name: string): Promise<CatalogWorkflow | undefined> =>
    catalog.find(name).catch((error: unknown) => {
      if (error instanceof Problem && error.code === 'workflow-unknown') return undefined
      throw error
    })

  /** Throws CaesarRefusal: everything that is wrong is found before anything is written. */
  const prepare = async (submission: Submission, owner: string | undefined): Promise<PreparedJob> => {
    const { app } = submission
    const refuse = (status: string) => refusal(400, status, short(app))
    const references = submission.data.map(async (each) => rooms.sources.find(each, owner))
    const found = (await Promise.all(references)).filter((each) => each !== undefined)
    if (found.length < submission.data.length) throw refuse(noSuchFile)
    const entry = await findApp(app)
    if (entry === undefined) throw refuse(`App ${short(app)} not known or supported`)
    if (!isObject(submission.options)) throw refuse('Given job inputs data is not a dictionary!')
    const read = readOptions(entry.description, submission.options)
    if (read.kind === 'refused') throw refuse(read.status)
    const { ignored } = read
    if (settings.isStrict && ignored.length > 0)
      throw refuse(`Option ${short(ignored[0] ?? '')} not known by app ${app}!`)
    const inputs = new Map<string, unknown>(Object.entries(read.values))
    const placed: ReturnType<typeof placeInput>[] = []
    const give = (input: PlanInput, files: readonly DataFile[]) => {
      const own = placeInput(input, files)
      if (own === undefined) throw refuse(noSuchFile)
      const problem = checkInput(input, own.value)
      if (problem !== undefined) throw refuse(problem)
      inputs.set(input.name, own.value)
      placed.push(own)
    }
    const data = dataInputOf(entry.description)
    if (data !== undefined && found.length > 0) give(data, found)
    else if (data !== undefined && data.default === undefined)
      throw refuse('No data inputs field found in request!')
    for (const input of entry.description.inputs) {
      if (input === data || input.type.base !== 'file' || !inputs.has(input.name)) continue
      const names = [read.values[input.name]].flat().map(String)
      const files = names.map((name) => rooms.sources.find({ format: 'uid', name }, owner))
      const given = (await Promise.all(files)).filter((each) => each !== undefined)
      if (given.length < names.length) throw refuse(noSuchFile)
      give(input, given)
    }
    return {
      entry,
      inputs: Object.fromEntries(inputs),
      ignored,
      async place(workDirectory) {
        for (const each of placed) await each?.copy(workDirectory)
      },
    }
  }

  /** The job that was made of the same request. */
  const repeat = async (job: StoredJob, digest: string): Promise<StoredJob> => {
    if (job.digest !== digest)
      throw refusal(
        422,
        'This Idempotency-Key was used for another request!',
        job.app,
        'idempotency-conflict',
      )
    await jobs.begun(job.id)
    return job
  }

  const submit = async (call: Call): Promise<StoredJob> => {
    const { text, principal, header, signal } = call
    const owner = ownerOf(principal)
    const key = header('Idempotency-Key')
    if (key !== undefined && !/^[\x21-\x7e]{1,255}$/.test(key))
      throw refusal(400, 'The Idempotency-Key has to be 1 to 255 visible ASCII characters.', '')
    const digest = createHash('sha256').update(text).digest('hex')
    const before = key === undefined ? undefined : store.findByKey(key, owner)
    if (before !== undefined) return repeat(before, digest)
    const contentType = header('content-type') ?? ''
    const read = await readSubmission(text, contentType, async (name) => (await findApp(name))?.description)
    if (read.kind === 'refused') throw refusal(400, read.status, read.app)
    const { submission } = read
    const { entry, inputs, ignored, place } = await prepare(submission, visibleOwner(principal))
    const { name, script } = entry
    // While the rest was read, the same may have come once more.
    const meanwhile = key === undefined ? undefined : store.findByKey(key, owner)
    if (meanwhile !== undefined) return repeat(meanwhile, digest)
    const { app, dataInputs, echo, tag } = submission
    const id = randomUUID()
    store.add({ id, owner, app, dataInputs, echo, ignored, tag, submittedAt: now(), key, digest })
    const environment = settings.environments.get(name)
    await jobs.begin(id, () =>
      executionsOf(executions, principal).start({
        script,
        name,
        inputs,
        ...(environment !== undefined && { environment }),
        labels: { [jobLabel]: id },
        signal,
        async fill(workDirectory) {
          const evaluation = await catalog.fill(name, workDirectory)
          await place(workDirectory)
          return evaluation
        },
      }),
    )
    const job = store.find(id, owner)
    if (job === undefined) throw new Error(`The job ${id} is not on record.`)
    if (job.execution !== undefined) call.note({ executionId: job.execution })
    return job
  }

  return jsonRoute({
    method: 'POST',
    path: '/job',
    audit: 'start',
    summary: 'Submit a job: an app, its data and its options.',
    access: 'token',
    parameters: z.object({}),
    body: 'text',
    bodyBytesAtMost,
    bodySchema,
    tellProblem: tellBeside(noJob),
    problems: ['parameter-invalid', 'quota-exceeded', 'idempotency-conflict', 'disk-full', 'server-busy'],
    answer: { status: 202, description: 'It is submitted.', schema: answerSchema },
    async handle(call) {
      const job = await submit(call).catch((error: unknown) => {
        throw error instanceof CaesarRefusal ? error : startRefused(toProblem(error), appIn(call.text))
      })
      return sortKeys({
        app: job.app,
        data_inputs: job.dataInputs,
        ignored_options: [...job.ignored],
        job_id: job.id,
        job_inputs: job.echo['job_inputs'],
        ...('job_options' in job.echo && { job_options: job.echo['job_options'] }),
        state: pending.state,
        status: 'Job submitted and registered with success',
        submit_date: dateText(job.submittedAt),
        tag: job.tag,
      })
    },
  })
}

function placeInput(input: PlanInput, files: readonly DataFile[]) {
  const isList = input.type.dimensions > 0
  if (!isList && files.length !== 1) return undefined
  const directory = join(folder, input.name)
  const { names, copy } = placeData(files)
  const paths = names.map((name) => `${directory}/${name}`)
  return {
    value: isList ? paths : (paths[0] ?? ''),
    copy: (workDirectory: string) => copy(join(workDirectory, directory)),
  }
}

function refusal(httpStatus: number, status: string, app: string, code?: Problem['code']): CaesarRefusal {
  return new CaesarRefusal(
    httpStatus,
    status,
    { ...noJob, app },
    ...(code === undefined ? [] : ([code] as const)),
  )
}

/** What keeps an execution from starting, told as a submission that failed. The log says more of what is ours. */
function startRefused(problem: Problem, app: string): Problem {
  if (problem.code === 'internal') return problem
  return refusal(httpStatusOf(problem), problem.message, app, problem.code)
}

function appIn(text: string): string {
  try {
    const body: unknown = JSON.parse(text)
    return isObject(body) && typeof body['app'] === 'string' ? short(body['app']) : ''
  } catch {
    return ''
  }
}
