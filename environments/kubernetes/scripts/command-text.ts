import type { JobRequest } from '../../../src/environment/environment.ts'

/**
 * One word of shell text that any POSIX shell reads back as exactly `text`, busybox's ash and dash included: `quote` of
 * `src/environment` needs bash. Text with a NUL cannot be passed to a program at all.
 */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * The file `command` of a job: text that becomes the job's program in the directory that it is read in, where
 * `molehill_busybox` is the path of busybox. The variables go through `env`, so that their names mean nothing to a
 * shell. It gives the code 127 where there is no such program, and 126 where it cannot be run.
 */
export function commandText(
  { command, env }: Pick<JobRequest, 'command' | 'env'>,
  variables: Readonly<Record<string, string>> = {},
): string {
  const assignments = Object.entries({ ...variables, ...env }).map(([name, value]) => `${name}=${value}`)
  // A program with an equals sign in its name would be an assignment to env. (Shells drop variables with odd names.)
  const through = command[0]?.includes('=') === true ? [`"$molehill_busybox" sh -c 'exec "$@"' sh`] : []
  const words = ['exec "$molehill_busybox" env --', ...assignments.map(shellWord), ...through]
  return `${[...words, ...command.map(shellWord)].join(' ')}\n`
}
