import { z } from 'zod'
import { executionsOf } from '../access/executions-of.ts'
import { jsonRoute, rawRoute, type Route } from '../route.ts'
import { dateText, jsonAnswer } from './answers.ts'
import { findJob } from './find-job.ts'
import { visibleOwner, type CaesarRooms } from './parts.ts'
import { hasEnded, type StoredJob } from './stored-jobs.ts'

const state = z.enum([
  'PENDING',
  'RUNNING',
  'SUCCESS',
  'FAILURE',
  'TIMED-OUT',
  'ABORTED',
  'CANCELED',
  'CLEARED',
])

const statusSchema = z.object({
  elapsed_time: z.int().meta({ description: 'Whole seconds.' }),
  exit_code: z.int().meta({ description: '-1 until the job ends.' }),
  exit_status: z.int().meta({ description: 'The same as `exit_code`.' }),
  job_id: z.string(),
  pid: z.string(),
  state,
  status: z.string(),
  tag: z.string(),
})

const jobSchema = statusSchema.extend({
  app: z.string(),
  data_inputs: z.unknown(),
  job_inputs: z.unknown(),
  job_options: z.unknown().optional(),
  ignored_options: z.array(z.string()),
  job_top_dir: z.string(),
  metadata: z.string(),
  scheduler: z.string(),
  submit_date: z.string(),
})

const blankStatus = {
  elapsed_time: '',
  exit_code: '',
  exit_status: '',
  pid: '',
  state: '',
  tag: '',
}

/** What tells of jobs, and ends them. */
export function jobRoutes(rooms: CaesarRooms): readonly Route[] {
  const { store, jobs, executions } = rooms
  const shared = { access: 'token', parameters: z.object({}), problems: ['execution-unknown'] } as const
  const tellStatus = (job: StoredJob): z.input<typeof statusSchema> => ({
    elapsed_time: jobs.elapsedSeconds(job),
    exit_code: job.exitCode,
    exit_status: job.exitCode,
    job_id: job.id,
    pid: '',
    state: job.state,
    status: job.status,
    tag: job.tag,
  })

  const cancel = (method: 'GET' | 'POST'): Route =>
    rawRoute({
      ...shared,
      method,
      path: '/job/:id/cancel',
      audit: 'cancel',
      summary: 'End a job.',
      body: 'text',
      answer: {
        status: 200,
        description: 'It is canceled, or had ended already.',
        contentType: 'application/json',
      },
      async handle(call) {
        const before = findJob(rooms, call)
        const after = hasEnded(before)
          ? before
          : await jobs.cancel(before, executionsOf(executions, call.principal))
        const isCanceled = !hasEnded(before) && after.state === 'CANCELED'
        return jsonAnswer({
          status: isCanceled
            ? 'Job canceled and status updated in DB'
            : `Job ${after.id} already completed with state ${after.state}, nothing to be canceled.`,
        })
      },
    })

  return [
    jsonRoute({
      ...shared,
      method: 'GET',
      path: '/jobs',
      summary: 'All jobs.',
      problems: [],
      answer: { status: 200, description: 'The jobs, oldest first.', schema: z.array(jobSchema) },
      handle({ principal }) {
        const owner = visibleOwner(principal)
        jobs.refreshLive(owner)
        return store.list(owner).map((job) => ({
          ...tellStatus(job),
          app: job.app,
          data_inputs: job.dataInputs,
          job_inputs: job.echo['job_inputs'],
          ...('job_options' in job.echo && { job_options: job.echo['job_options'] }),
          ignored_options: [...job.ignored],
          // Where the server keeps its files is nobody's business.
          job_top_dir: '',
          metadata: '',
          scheduler: 'molehill',
          submit_date: dateText(job.submittedAt),
        }))
      },
    }),
    jsonRoute({
      ...shared,
      method: 'GET',
      path: '/job/:id/status',
      summary: 'Where a job stands.',
      answer: { status: 200, description: 'The status.', schema: statusSchema },
      handle: (call) => tellStatus(findJob(rooms, call, blankStatus)),
    }),
    cancel('GET'),
    cancel('POST'),
  ]
}
