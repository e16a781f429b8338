import { z } from 'zod'
import type { Batch, IsOurs, Listed, Listing } from '../../src/environment/batch/scheduler.ts'
import type { SlurmDirectiveOptions } from './options.ts'
import { exitOfWaitStatus, listingOf, type SlurmJobState } from './states.ts'

/** Whether the version has numbers that say whether they are set, and lists of variables: v0.0.39 and newer. */
export function isNewShape(apiVersion: string): boolean {
  return numberOf(apiVersion) >= 39
}

/** The last part of a version: 38 of `v0.0.38`. */
export function numberOf(apiVersion: string): number {
  return Number(apiVersion.split('.')[2])
}

/** v0.0.36 cannot end single tasks of an array. */
export function hasArrays(apiVersion: string): boolean {
  return numberOf(apiVersion) >= 37
}

/** What POST /job/submit takes. slurmrestd does not read the `#SBATCH` lines of a script: all is said here. */
export function submission(
  apiVersion: string,
  script: string,
  batch: Batch,
  options: SlurmDirectiveOptions,
): Readonly<Record<string, unknown>> {
  const isNew = isNewShape(apiVersion)
  const { cpus, memoryBytes, gpus, nodes, wallTimeMs } = batch.resources
  const gres = [...(gpus === undefined ? [] : [`gpu:${gpus}`]), ...options.gres]
  const variables = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C.UTF-8' }
  const job: Readonly<Record<string, unknown>> = {
    name: batch.name,
    array: batch.size === 1 ? undefined : `0-${batch.size - 1}`,
    current_working_directory: batch.directory,
    standard_output: batch.logPath.replaceAll('%', '%%'),
    open_mode: isNew ? ['APPEND'] : 'append',
    // Up to v0.0.38 `requeue: false` is taken and not heeded; `no_requeue` is.
    ...(isNew ? { requeue: false } : { no_requeue: true }),
    environment: isNew ? Object.entries(variables).map(([name, value]) => `${name}=${value}`) : variables,
    partition: options.partition,
    account: options.account,
    qos: options.qos,
    time_limit: wallTimeMs === undefined ? undefined : optionalNumber(isNew, Math.ceil(wallTimeMs / 60_000)),
    memory_per_node:
      memoryBytes === undefined ? undefined : optionalNumber(isNew, Math.ceil(memoryBytes / 2 ** 20)),
    nodes: nodes === undefined ? undefined : isNew ? String(nodes) : [nodes, nodes],
    tasks: options.tasks,
    cpus_per_task: cpus,
    ...(gres.length > 0 &&
      (isNew ? { tres_per_node: gres.map((each) => `gres/${each}`).join(',') } : { gres: gres.join(',') })),
    constraints: options.constraint.length === 0 ? undefined : options.constraint.join('&'),
    reservation: options.reservation,
    wckey: options.wckey,
    ...(options.exclusive && (isNew ? { shared: ['none'] } : { exclusive: 'exclusive' })),
  }
  return { script, job }
}

function optionalNumber(isNew: boolean, number: number): unknown {
  return isNew ? { set: true, infinite: false, number } : number
}

/** A number, or since v0.0.39 an object that says whether it is set. */
const number = z
  .union([z.number(), z.object({ set: z.boolean(), number: z.number() }), z.null()])
  .optional()
  .transform((value) => (typeof value === 'number' ? value : value?.set === true ? value.number : undefined))

/** One state, or since v0.0.40 a state and its flags. */
const state = z.union([z.string(), z.array(z.string())]).transform((value) => {
  const words = typeof value === 'string' ? [value] : value
  return words.includes('COMPLETING') ? 'COMPLETING' : (words[0] ?? '')
})

const exit = z
  .union([
    z.number().transform(exitOfWaitStatus),
    z
      .object({
        return_code: number,
        signal: z.object({ id: number, signal_id: number }).optional(),
      })
      .transform(({ return_code, signal }) => ({
        // v0.0.39 says -127 where there is none.
        code: Math.max(0, return_code ?? 0),
        signal: signal?.id ?? signal?.signal_id ?? 0,
      })),
  ])
  .optional()
  .catch(undefined)

const listedJob = z.object({
  job_id: z.number(),
  name: z.string(),
  job_state: state,
  state_reason: z.string().optional(),
  nodes: z.string().optional(),
  exit_code: exit,
  array_job_id: number,
  array_task_id: number,
  array_task_string: z.string().nullish(),
})

export const jobsAnswer = z.object({ jobs: z.array(z.unknown()) })

/**
 * The jobs of an answer by native id. Tasks of an array that still wait share one record, which names them as ranges.
 * What cannot be read is left out: it is none of ours, or its array's other records tell of it.
 */
export function listedJobs(jobs: readonly unknown[], maxArraySize: number): ReadonlyMap<string, Listed> {
  const rows = new Map<string, Listed>()
  const waiting: (() => void)[] = []
  for (const job of jobs) {
    const { success, data } = listedJob.safeParse(job)
    if (!success) continue
    const told: SlurmJobState = {
      state: data.job_state,
      ...(data.state_reason !== undefined && { reason: data.state_reason }),
      ...(data.nodes !== undefined && { host: data.nodes }),
      ...(data.exit_code !== undefined && { exit: data.exit_code }),
    }
    const listing = listingOf(told)
    const batchName = data.name
    const array = data.array_job_id
    if (array === undefined || array === 0) rows.set(`${data.job_id}`, { listing, batchName, index: 0 })
    else if (data.array_task_id !== undefined && isWithoutTasks(data.array_task_string))
      rows.set(`${array}_${data.array_task_id}`, { listing, batchName, index: data.array_task_id })
    else
      // A task that has a record of its own is told by that one.
      waiting.push(() => {
        for (const index of indicesIn(data.array_task_string ?? '', maxArraySize))
          if (!rows.has(`${array}_${index}`)) rows.set(`${array}_${index}`, { listing, batchName, index })
      })
  }
  for (const add of waiting) add()
  return rows
}

function isWithoutTasks(text: string | null | undefined): boolean {
  return text === undefined || text === null || text === ''
}

/** Indices in Slurm's text: `3-5,9%2`. One that was cut short, `1,3,...`, is taken to name all that may follow. */
export function indicesIn(text: string, maxArraySize: number): readonly number[] {
  const indices: number[] = []
  for (const part of text.replace(/%\d+$/, '').split(',')) {
    const range = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(part)
    const first = range === null ? (indices.at(-1) ?? -1) + 1 : Number(range[1])
    const last = range === null ? maxArraySize - 1 : Number(range[2] ?? range[1])
    if (range === null && !part.startsWith('.')) continue
    for (let index = first; index <= Math.min(last, maxArraySize - 1); index += Number(range?.[3] ?? 1) || 1)
      indices.push(index)
  }
  return indices
}

const accountedJob = z.object({
  job_id: z.number(),
  name: z.string().nullish(),
  nodes: z.string().nullish(),
  array: z.object({ job_id: number, task_id: number }),
  state: z.object({ current: state }),
  exit_code: exit,
})

/**
 * What the accounting over HTTP says, by native id. Exit codes are left aside: up to Slurm 22.05 it tells 0 for jobs
 * that failed. Its states and signals are right.
 */
export function accountedJobs(
  jobs: readonly unknown[],
  isOurs: IsOurs = () => true,
): ReadonlyMap<string, Listing> {
  const listings = new Map<string, Listing>()
  for (const job of jobs) {
    const { success, data } = accountedJob.safeParse(job)
    if (!success) continue
    const array = data.array.job_id
    const id =
      array === undefined || array === 0 || data.array.task_id === undefined
        ? `${data.job_id}`
        : `${array}_${data.array.task_id}`
    if (typeof data.name === 'string' && !isOurs(id, data.name)) continue
    const signal = data.exit_code?.signal ?? 0
    listings.set(
      id,
      listingOf({
        state: data.state.current,
        ...(signal !== 0 && { exit: { code: 0, signal } }),
      }),
    )
  }
  return listings
}
