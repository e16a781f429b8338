import { join } from 'node:path'
import type { JobId } from '../environment/environment.ts'
import { makeRequest, type ExecutionPaths } from '../job/command.ts'
import { OutputError, readOutputs } from '../job/command-outputs.ts'
import { groupRequests, splitGroup } from '../job/group.ts'
import type { AttemptEnding } from '../job/attempt-source.ts'
import type { PlanCapsule, PlanCommandTask } from '../workflow/plan.ts'
import { describeBadEnd, inBrackets } from './bad-end.ts'
import { taskInputs, type JobResult } from './function-jobs.ts'
import type { Job } from './job.ts'
import { stderrTail } from './job-logs.ts'
import type { JobEnd, Package, PackageOptions, ResultPlace } from './package.ts'

/** Jobs of a command task as one environment job. */
export function packCommands(
  capsule: PlanCapsule & { readonly task: PlanCommandTask },
  jobs: readonly Job[],
  paths: ExecutionPaths,
  { id, directory }: PackageOptions,
): Package {
  const members = jobs.map((job) => {
    const context = { ...job.activation.context, ...taskInputs(capsule.task.inputs, job.activation.context) }
    return { job, request: makeRequest(`${id}-${job.id}` as JobId, capsule, context, paths) }
  })
  const requests = members.map(({ request }) => request)
  const own = { directory, filesDirectory: paths.filesDirectory }
  const open = async (
    job: Job,
    ending: AttemptEnding,
    { directory: place, filesDirectory }: ResultPlace,
  ): Promise<JobEnd> => ({
    job,
    ...(await readEnding(capsule.task, ending, place, {
      keepDirectory: join(filesDirectory, String(job.id)),
      keepName: `files/${job.id}`,
    })),
  })
  const alone = members.length === 1 ? members[0] : undefined
  if (alone !== undefined)
    return {
      request: { ...alone.request, id },
      open: async (ending, place = own) => [await open(alone.job, ending, place)],
    }
  return {
    request: groupRequests(id, requests),
    open: async (ending, place = own) => {
      const results = await splitGroup(requests, place.directory)
      const ends: JobEnd[] = []
      for (const [index, { job }] of members.entries()) {
        const result = results[index]
        ends.push(
          result?.exitCode === undefined
            ? await open(job, unfinished(ending), place)
            : await open(
                job,
                { kind: 'exited', exitCode: result.exitCode, collected: result.collected },
                { ...place, directory: result.directory },
              ),
        )
      }
      return ends
    },
  }
}

function unfinished(ending: AttemptEnding): AttemptEnding {
  return ending.kind === 'exited'
    ? { kind: 'lost', message: 'its group ended before it' }
    : { ...ending, ...(ending.kind === 'stopped' && { collected: undefined }) }
}

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
): Promise<Omit<JobEnd, 'job'>> {
  if (ending.kind !== 'exited' || ending.exitCode !== 0) return describeBadEnd('command', ending)
  const { collected, exitCode } = ending
  const common = { exitCode, isEnvironmentsFault: false, isCancelled: false, collected }
  let result: JobResult
  try {
    result = { kind: 'outputs', outputs: await readOutputs(task, collected, { directory, ...keep }) }
  } catch (error) {
    if (!(error instanceof OutputError)) throw error
    const message = `${error.message}${inBrackets(collected.remark)}`
    result = { kind: 'failure', message, stack: await stderrTail(collected) }
  }
  return { ...common, result }
}
