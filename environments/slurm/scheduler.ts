import type { HostResult } from '../../src/environment/host.ts'
import { requireRun, requireSuccess, wordsOf } from '../../src/environment/batch/answer.ts'
import {
  SchedulerOutputError,
  type Batch,
  type IsOurs,
  type Listed,
  type Listing,
  type Scheduler,
} from '../../src/environment/batch/scheduler.ts'
import { directivesOf } from './directives.ts'
import { indexRanges } from './native-ids.ts'
import type { SlurmDirectiveOptions } from './options.ts'
import { kindOfRefusal } from './refusals.ts'
import { listingOf } from './states.ts'

/** Slurm's times and texts as its manual has them, whatever the login sets. */
const variables = { LC_ALL: 'C', SLURM_TIME_FORMAT: 'standard' }

/** Slurm 20.02 and newer, by its commands. Text only: sbatch(1), squeue(1), sacct(1), scancel(1). */
export function slurmScheduler(options: SlurmDirectiveOptions): Scheduler {
  return {
    name: 'Slurm',
    resources: ['cpus', 'memoryBytes', 'gpus', 'nodes', 'wallTimeMs'],
    // Slurm's own default for MaxArraySize is 1001.
    batchSizeAtMost: options.maxArraySize,
    index: '${SLURM_ARRAY_TASK_ID:-0}',
    passedVariables: ['SLURM_CONF'],
    directives: (batch) => directivesOf(batch, options),
    submit: (scriptPath) => ({
      // Said here too: SBATCH_REQUEUE in a login's variables outdoes what a script says, but not the command line.
      argv: ['sbatch', '--parsable', '--no-requeue', scriptPath],
      variables,
    }),
    readSubmitted,
    list: () => ({
      // Names last: they are the only part that may hold anything.
      argv: ['squeue', '--noheader', '--array', '--me', '--states=all', '--format=%i|%F|%K|%T|%r|%N|%j'],
      variables,
    }),
    readList,
    account: (nativeIds) => ({
      argv: [
        'sacct',
        '--allocations',
        '--noheader',
        '--parsable2',
        `--jobs=${[...new Set(nativeIds.map((id) => id.split('_', 1)[0]!))].join(',')}`,
        // Names last: they are the only part that may hold anything.
        '--format=JobID,State,ExitCode,NodeList,JobName',
      ],
      variables,
    }),
    readAccount,
    cancel: (nativeIds) => ({ argv: ['scancel', '--quiet', ...indexRanges(nativeIds)], variables }),
    readCancelled,
    check: () => ({ argv: ['sinfo', '--noheader', '--format=%R|%a'], variables }),
    readCheck: (result) => readCheck(result, options.partition),
    verify: (batch) => ({
      argv: ['sbatch', '--test-only', '--no-requeue'],
      input: ['#!/bin/bash', ...directivesOf(batch, options), ''].join('\n'),
      variables,
    }),
    readVerified,
  }
}

function readVerified(result: HostResult): string | undefined {
  requireRun('sbatch', result)
  if (result.exitCode === 0) return undefined
  const reason = wordsOf(result)
  // A quota passes, and silence says nothing of the options.
  return kindOfRefusal(reason) === 'rejected' ? reason : undefined
}

function readSubmitted(result: HostResult, batch: Batch) {
  requireRun('sbatch', result)
  if (result.exitCode !== 0) {
    const reason = wordsOf(result)
    const kind = kindOfRefusal(reason)
    if (kind === 'unknown') throw new SchedulerOutputError(`sbatch could not reach Slurm: ${reason}`)
    return { kind, reason } as const
  }
  const id = result.stdout
    .split('\n')
    .map((line) => /^(\d+)(?:;[^;\s]+)?$/.exec(line.trim())?.[1])
    .findLast((found) => found !== undefined)
  if (id === undefined) throw new SchedulerOutputError(`sbatch gave no job id: ${wordsOf(result)}`)
  return { kind: 'accepted', nativeIds: nativeIdsOf(id, batch.size) } as const
}

/** A job's native id: of an array, with its index. */
export function nativeIdsOf(id: string, size: number): readonly string[] {
  return size === 1 ? [id] : Array.from({ length: size }, (_, index) => `${id}_${index}`)
}

function readList(result: HostResult): ReadonlyMap<string, Listed> {
  requireSuccess('squeue', result)
  const rows = new Map<string, Listed>()
  for (const line of result.stdout.split('\n')) {
    const [id, , index, state, reason, host, ...name] = line.split('|')
    // Anything else was not printed by squeue, or was cut.
    if (id === undefined || !/^\d+(_\d+)?$/.test(id) || state === undefined || name.length === 0) continue
    rows.set(id, {
      listing: listingOf({
        state,
        ...(reason !== undefined && { reason }),
        ...(host !== undefined && { host }),
      }),
      batchName: name.join('|'),
      index: /^\d+$/.test(index ?? '') ? Number(index) : 0,
    })
  }
  return rows
}

function readAccount(result: HostResult, isOurs: IsOurs = () => true): ReadonlyMap<string, Listing> {
  requireRun('sacct', result)
  if (/accounting storage is disabled/i.test(result.stderr)) return new Map()
  requireSuccess('sacct', result)
  const listings = new Map<string, Listing>()
  for (const line of result.stdout.split('\n')) {
    const [id, state, exitText, host, ...name] = line.split('|')
    const exit = /^(\d+):(\d+)$/.exec(exitText ?? '')
    if (id === undefined || !/^\d+(_\d+)?$/.test(id) || state === undefined || exit === null) continue
    if (!isOurs(id, name.join('|'))) continue
    listings.set(
      id,
      listingOf({
        state,
        exit: { code: Number(exit[1]), signal: Number(exit[2]) },
        ...(host !== undefined && { host }),
      }),
    )
  }
  return listings
}

function readCancelled(result: HostResult): void {
  requireRun('scancel', result)
  // Jobs that are over or forgotten need no cancelling.
  const complaints = result.stderr
    .split('\n')
    .filter((line) => line.includes('error:') && !/Invalid job id|already comple/i.test(line))
  if (result.exitCode !== 0 && complaints.length > 0)
    throw new SchedulerOutputError(`scancel failed: ${complaints.join(' ').slice(0, 500)}`)
}

function readCheck(result: HostResult, partition: string | undefined): string | undefined {
  if (result.exitCode !== 0) return `sinfo failed: ${wordsOf(result)}`
  const states = new Map(
    result.stdout.split('\n').map((line) => {
      const [name, state] = line.trim().split('|')
      return [name ?? '', state]
    }),
  )
  for (const name of partition?.split(',') ?? []) {
    const state = states.get(name)
    if (state === undefined) {
      const known = [...states].flatMap(([known, state]) => (state === undefined ? [] : [known]))
      return `There is no partition ${name}. Slurm has: ${known.join(', ')}.`
    }
    if (state !== 'up') return `The partition ${name} is ${state}.`
  }
  return undefined
}
