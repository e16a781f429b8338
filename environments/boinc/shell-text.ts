import type { JobRequest } from '../../src/environment/environment.ts'

/**
 * One word of shell text that any POSIX shell reads back as exactly `text`. Nothing of a user's reaches the launcher in
 * any other way. Text with a NUL cannot be passed to a program at all.
 */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * The file `command` of a job: text that becomes the job's program in the directory that it is read in. The variables
 * go through `env`, so that their names mean nothing to a shell. It gives the code 127 where there is no such program,
 * and 126 where it cannot be run.
 */
export function commandText(
  { id, command, env }: Pick<JobRequest, 'id' | 'command' | 'env'>,
  variables: Readonly<Record<string, string>>,
): string {
  const given = { ...variables, MOLEHILL_JOB_ID: id, ...env }
  const assignments = Object.entries(given).map(([name, value]) => `${name}=${value}`)
  // A program with an equals sign in its name would be an assignment to env. (Shells drop variables with odd names.)
  const through = command[0]?.includes('=') === true ? [`sh -c 'exec "$@"' sh`] : []
  const place = env['MOLEHILL_JOB_DIRECTORY'] === undefined ? ['MOLEHILL_JOB_DIRECTORY="$PWD"'] : []
  const words = [
    'exec env --',
    ...place,
    ...assignments.map(shellWord),
    ...through,
    ...command.map(shellWord),
  ]
  return `${words.join(' ')}\n`
}

/** The file `outputs` of a job: text that sets paths below its directory as the arguments of who reads it. */
export function outputsText(paths: readonly string[]): string {
  return `${['set --', ...paths.map(shellWord)].join(' ')}\n`
}
