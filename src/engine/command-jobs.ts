import { statSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OutputError, readOutputs } from '../job/command-outputs.ts'
import type { AttemptEnding } from '../job/tracker.ts'
import type { CollectedFiles } from '../environment/environment.ts'
import type { PlanCommandTask } from '../workflow/plan.ts'
import type { JobResult } from './function-jobs.ts'

/** What a command job came to, with what it printed. */
export interface CommandResult {
  readonly result: JobResult
  readonly exitCode: number | null
  /** Whether the environment is to blame rather than the command, so that the same again may help. */
  readonly isEnvironmentsFault: boolean
  readonly isCancelled: boolean
  readonly collected: CollectedFiles | undefined
}

const tailBytes = 2000

/**
 * Reads what an attempt of a command task has left.
 * @param directory where its outputs were collected
 * @param keep where files go that are kept, and how their file values begin
 */
export async function readEnding(
  task: PlanCommandTask,
  ending: AttemptEnding,
  directory: string,
  keep: { readonly keepDirectory: string; readonly keepName: string },
): Promise<CommandResult> {
  const failure = (message: string, stack = ''): JobResult => ({ kind: 'failure', message, stack })
  switch (ending.kind) {
    case 'rejected':
      return {
        ...nothing,
        result: failure(`The environment refused the job: ${ending.message}`),
      }
    case 'lost':
      return {
        ...nothing,
        isEnvironmentsFault: true,
        result: failure(`The environment lost the job: ${ending.message}`),
      }
    case 'stopped': {
      const tail = await stderrTail(ending.collected)
      return {
        ...nothing,
        isEnvironmentsFault: ending.cause === 'preempted' || ending.cause === 'node-failure',
        isCancelled: ending.cause === 'cancelled',
        collected: ending.collected,
        result: failure(`The command was stopped (${ending.cause}): ${ending.message}${quoted(tail)}`, tail),
      }
    }
    case 'exited': {
      const { collected, exitCode } = ending
      const common = { ...nothing, exitCode, collected }
      if (exitCode !== 0) {
        const tail = await stderrTail(collected)
        return {
          ...common,
          result: failure(`The command ended with exit code ${exitCode}${quoted(tail)}`, tail),
        }
      }
      try {
        const outputs = await readOutputs(task, collected, { directory, ...keep })
        return { ...common, result: { kind: 'outputs', outputs } }
      } catch (error) {
        if (!(error instanceof OutputError)) throw error
        return { ...common, result: failure(error.message, await stderrTail(collected)) }
      }
    }
  }
}

/** What a job printed, at most `limitBytes` of each stream: standard output first. */
export async function readPrinted(collected: CollectedFiles, limitBytes: number): Promise<string> {
  const texts = await Promise.all(
    [collected.stdout, collected.stderr].map(async (path) => readTail(path, limitBytes)),
  )
  return texts.map((text) => (text === '' || text.endsWith('\n') ? text : `${text}\n`)).join('')
}

/** Where the logs of an attempt are kept when there is something in them. */
export function logPaths(directory: string, attempt: string): { stdout: string; stderr: string } {
  return { stdout: join(directory, `${attempt}.out`), stderr: join(directory, `${attempt}.err`) }
}

const nothing = { exitCode: null, isEnvironmentsFault: false, isCancelled: false, collected: undefined }

function quoted(tail: string): string {
  return tail === '' ? '' : `: ${tail}`
}

async function stderrTail(collected: CollectedFiles | undefined): Promise<string> {
  return collected === undefined ? '' : (await readTail(collected.stderr, tailBytes)).trim()
}

/** Size of a log; 0 where there is none. Waiting for a thread to look would cost more than looking. */
export function logBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

async function readTail(path: string, limitBytes: number): Promise<string> {
  const size = logBytes(path)
  if (size === 0) return ''
  if (size <= limitBytes) return readFile(path, 'utf8')
  const handle = await open(path)
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(limitBytes),
      0,
      limitBytes,
      size - limitBytes,
    )
    return `[${size - limitBytes} bytes left out]\n${buffer.toString('utf8', 0, bytesRead)}`
  } finally {
    await handle.close()
  }
}
