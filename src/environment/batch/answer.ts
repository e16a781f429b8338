import type { HostResult } from '../host.ts'
import { SchedulerOutputError } from './scheduler.ts'

/** What a command said when it failed, on one line of at most 500 characters: error output first. */
export function wordsOf({ exitCode, stdout, stderr }: HostResult): string {
  const said = [stderr, stdout].map((text) => text.trim().replaceAll(/\s+/g, ' ')).find((text) => text !== '')
  return said === undefined ? `no message, exit code ${exitCode}` : said.slice(0, 500)
}

/** Throws SchedulerOutputError when the program could not be started or was killed: then it has said nothing. */
export function requireRun(program: string, result: HostResult): void {
  const { exitCode } = result
  if (exitCode === 127 || exitCode === 126)
    throw new SchedulerOutputError(
      `${program} cannot be run there: ${wordsOf(result)}. Is it on the PATH of a login that is not interactive?`,
    )
  if (exitCode === null) throw new SchedulerOutputError(`${program} was killed: ${wordsOf(result)}`)
}

/** Throws SchedulerOutputError unless the program ended well. */
export function requireSuccess(program: string, result: HostResult): void {
  requireRun(program, result)
  if (result.exitCode !== 0) throw new SchedulerOutputError(`${program} failed: ${wordsOf(result)}`)
}
