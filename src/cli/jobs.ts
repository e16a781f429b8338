import { InvalidArgumentError, Option, type Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { jobsAnswer, type JobAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import type { Session } from './remote/session.ts'
import { formatSpan, formatTable } from './screen/table.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'

interface JobsOptions extends CommonOptions, RemoteOptions {
  readonly state?: string
  readonly capsule?: string
  readonly limit: number
}

const states = ['ready', 'submitted', 'running', 'completed', 'failed', 'cancelled']
const largestPage = 1000

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .addOption(new Option('--state <state>', 'only jobs in this state').choices(states))
    .option('--capsule <name>', 'only jobs of this capsule')
    .option('--limit <number>', 'list at most so many', readLimit, 100)
    .action(async (id: string, options: JobsOptions) => showJobs(id, options, terminal))
  addRemoteOptions(command)
  addExamples(command, [
    'molehill jobs 0c6f... --state failed            what went wrong, job by job',
    'molehill jobs 0c6f... --capsule walk --json',
  ])
}

async function showJobs(id: string, options: JobsOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const { jobs, isAll } = await readJobs(session, id, options)
  if (options.json) {
    await printJson(terminal, jobs)
    return
  }
  await print(
    terminal,
    formatTable(['id', 'capsule', 'ticket', 'state', 'tries', 'took', 'error'], jobs.map(row)),
  )
  if (!isAll) say(terminal, `These are the first ${jobs.length}. See more with --limit.`)
}

async function readJobs(
  session: Session,
  id: string,
  { state, capsule, limit }: JobsOptions,
): Promise<{ readonly jobs: readonly JobAnswer[]; readonly isAll: boolean }> {
  const jobs: JobAnswer[] = []
  let after: number | undefined
  do {
    const page = await session.call(
      'jobs',
      {
        id,
        state,
        capsule,
        after: after?.toString(),
        limit: String(Math.min(largestPage, limit - jobs.length)),
      },
      jobsAnswer,
    )
    jobs.push(...page.jobs)
    after = page.next ?? undefined
  } while (after !== undefined && jobs.length < limit)
  return { jobs, isAll: after === undefined }
}

function row({
  id,
  capsule,
  ticket,
  state,
  attempts,
  startedAt,
  endedAt,
  error = '',
}: JobAnswer): readonly string[] {
  const hasTimes = typeof startedAt === 'number' && typeof endedAt === 'number'
  const took = hasTimes ? formatSpan(endedAt - startedAt) : ''
  return [String(id), capsule, ticket, state, String(attempts), took, error?.slice(0, 120) ?? '']
}

function readLimit(text: string): number {
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit > 0) return limit
  throw new InvalidArgumentError('Expected a whole number of at least 1.')
}
