import { EnvironmentError, type CheckFinding } from '../../src/environment/environment.ts'
import { quote } from '../../src/environment/quote.ts'
import { isOneOf, type AccountedJob, type BatchQueue } from '../../src/environment/batch/queue.ts'
import {
  mostPerSubmit,
  SchedulerOutputError,
  type Batch,
  type Listing,
  type SubmittedBatch,
} from '../../src/environment/batch/scheduler.ts'
import { z } from 'zod'
import { indexRanges } from './native-ids.ts'
import type { SlurmDirectiveOptions } from './options.ts'
import { kindOfRefusal } from './refusals.ts'
import { askSlurmrestd, type RestAddress, type RestAnswer } from './rest-client.ts'
import { accountedJobs, jobsAnswer, listedJobs, numberOf, submission } from './rest-shapes.ts'
import { nativeIdsOf } from './scheduler.ts'
import { messageOf } from '../../src/problem.ts'

export interface RestQueueOptions {
  readonly address: RestAddress
  /** `v0.0.36` to `v0.0.44`. */
  readonly apiVersion: string
  readonly directives: SlurmDirectiveOptions
}

const submitted = z.object({ job_id: z.int().positive() })
const failures = z.object({
  errors: z
    .array(
      z.object({
        error: z.string().nullish(),
        description: z.string().nullish(),
        error_code: z.number().nullish(),
        error_number: z.number().nullish(),
      }),
    )
    .optional(),
})

/** Slurm through slurmrestd, as slurmrestd(8) of Slurm 20.11 to 25.11 has it. */
export function restQueue({ address, apiVersion, directives }: RestQueueOptions): BatchQueue {
  const base = `/slurm/${apiVersion}`
  const ask = (
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    signal: AbortSignal,
    content?: unknown,
  ): Promise<RestAnswer> => askSlurmrestd(address, method, path, content, signal)

  async function submit(scriptPath: string, batch: Batch, signal: AbortSignal): Promise<SubmittedBatch> {
    // A login's variables are not there: slurmrestd starts jobs with what they are given.
    const script = [
      '#!/bin/bash',
      'export HOME=~ USER="$(id -un)" LOGNAME="$(id -un)"',
      `exec bash ${quote(scriptPath)}`,
      '',
    ].join('\n')
    const answer = await ask(
      'POST',
      `${base}/job/submit`,
      signal,
      submission(apiVersion, script, batch, directives),
    )
    const words = wordsOf(answer)
    if (words === undefined) {
      const { data } = submitted.safeParse(answer.body)
      if (data === undefined) throw unread(answer)
      return { kind: 'accepted', nativeIds: nativeIdsOf(`${data.job_id}`, batch.size) }
    }
    if (isRefusedAccess(answer)) throw refused(words, answer)
    const kind = kindOfRefusal(words)
    // A token that is not valid looks like this too.
    if (kind === 'unknown') throw refused(words, answer)
    return { kind, reason: words }
  }

  async function list(signal: AbortSignal) {
    const answer = await ask('GET', `${base}/jobs`, signal)
    requireGood(answer)
    const read = jobsAnswer.safeParse(answer.body)
    if (!read.success) throw unread(answer)
    // Jobs may be in the queue from a time when the option was larger.
    return listedJobs(read.data.jobs, Math.max(mostPerSubmit, directives.maxArraySize))
  }

  async function account(jobs: readonly AccountedJob[], signal: AbortSignal) {
    const listings = new Map<string, Listing>()
    for (const id of new Set(jobs.map(({ nativeId }) => nativeId.split('_', 1)[0]!))) {
      const answer = await ask('GET', `/slurmdb/${apiVersion}/job/${id}`, signal)
      // No accounting here, or none that knows this job.
      if (answer.status === 404 || /Nothing found/i.test(answer.text)) continue
      requireGood(answer)
      const read = jobsAnswer.safeParse(answer.body)
      if (!read.success) throw unread(answer)
      for (const [nativeId, listing] of accountedJobs(read.data.jobs, isOneOf(jobs)))
        listings.set(nativeId, listing)
    }
    return listings
  }

  async function cancel(nativeIds: readonly string[], signal: AbortSignal): Promise<void> {
    const number = numberOf(apiVersion)
    if (number >= 41) {
      const answer = await ask('DELETE', `${base}/jobs/`, signal, { jobs: indexRanges(nativeIds) })
      requireGood(answer)
      return
    }
    // Ranges of an array's tasks are understood by v0.0.37 and v0.0.38 only.
    const words = number === 37 || number === 38 ? indexRanges(nativeIds) : nativeIds
    await eachOf(words, async (word) => {
      const answer = await ask('DELETE', `${base}/job/${encodeURIComponent(word)}`, signal)
      const said = wordsOf(answer)
      // Jobs that are over or forgotten need no cancelling.
      if (said !== undefined && !/Invalid job id|already comple/i.test(said)) throw refused(said, answer)
    })
  }

  async function check(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    const what = 'scheduler'
    let answer: RestAnswer
    try {
      answer = await ask('GET', `${base}/partitions`, signal)
    } catch (error) {
      signal.throwIfAborted()
      const message = messageOf(error)
      const fix = 'See that rest.url or rest.socket is where slurmrestd listens, and that it runs.'
      return [{ what, isGood: false, message, fix }]
    }
    const words = wordsOf(answer)
    if (words !== undefined)
      return [{ what, isGood: false, message: `slurmrestd refused: ${words}.`, fix: accessHint(answer) }]
    const known = partitionsIn(answer.body)
    const wanted = directives.partition?.split(',') ?? []
    const missing = wanted.filter((name) => !known.includes(name))
    if (missing.length > 0)
      return [
        {
          what,
          isGood: false,
          message: `There is no partition ${missing.join(', ')}.`,
          fix: `Choose one of: ${known.join(', ')}.`,
        },
      ]
    return [{ what, isGood: true, message: `slurmrestd answers with ${apiVersion}.` }]
  }

  return { name: 'Slurm', hasAccounting: true, submit, list, account, cancel, check }
}

const requestsAtOnce = 8

async function eachOf(words: readonly string[], ask: (word: string) => Promise<void>): Promise<void> {
  const waiting = words.values()
  await Promise.all(
    Array.from({ length: requestsAtOnce }, async () => {
      for (const word of waiting) await ask(word)
    }),
  )
}

function partitionsIn(body: unknown): readonly string[] {
  const read = z.object({ partitions: z.array(z.object({ name: z.string() })) }).safeParse(body)
  return read.success ? read.data.partitions.map(({ name }) => name) : []
}

/** What slurmrestd complains of; undefined where it does not. Unknown jobs and bad tokens are HTTP 500 like faults. */
function wordsOf(answer: RestAnswer): string | undefined {
  const { data } = failures.safeParse(answer.body)
  const errors = data?.errors ?? []
  if (answer.status === 200 && errors.length === 0) return undefined
  const said = errors
    .map(({ description, error }) => [description, error].filter((text) => text).join(': '))
    .filter((text) => text !== '')
  const text = said.length > 0 || answer.body !== undefined ? said.join('; ') : answer.text.trim()
  return `${text.replaceAll(/\s+/g, ' ').slice(0, 500)} (HTTP ${answer.status})`.trim()
}

function requireGood(answer: RestAnswer): void {
  const words = wordsOf(answer)
  if (words !== undefined) throw refused(words, answer)
}

function isRefusedAccess({ status }: RestAnswer): boolean {
  return [401, 403, 404, 511].includes(status)
}

function accessHint({ status }: RestAnswer): string {
  return status === 404
    ? 'Set rest.apiVersion to a version that this slurmrestd has: /openapi/v3 lists them.'
    : 'Look whether the token is valid and not over: `scontrol token lifespan=SECONDS` prints a new one.'
}

function refused(words: string, answer: RestAnswer): EnvironmentError {
  return new EnvironmentError(`slurmrestd refused what was asked: ${words}. ${accessHint(answer)}`)
}

function unread({ status, text }: RestAnswer): SchedulerOutputError {
  return new SchedulerOutputError(
    `slurmrestd answered what was not expected (HTTP ${status}): ${text.slice(0, 300)}`,
  )
}
