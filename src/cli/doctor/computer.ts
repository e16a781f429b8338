import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Configuration } from '../../config/options.ts'
import { probeIsolation } from '../../isolation/probe.ts'
import { Problem } from '../../problem.ts'
import type { Check } from './findings.ts'

const execute = promisify(execFile)

const oldestNode = 24
const oldestBash = 5
/** Before this Molehill was written no clock can be right. */
const earliestMs = Date.UTC(2026, 0, 1)
const hourMs = 3_600_000

/** What must be there on this computer, whatever the data directory holds. */
export function computerChecks(
  nodeVersion: string,
  variables: Readonly<Record<string, string | undefined>>,
): readonly Check[] {
  const ask = async (program: string, words: readonly string[], signal: AbortSignal): Promise<string> => {
    try {
      const { stdout } = await execute(program, words, {
        signal,
        env: { PATH: variables['PATH'], LC_ALL: 'C' },
      })
      return stdout.trim()
    } catch (cause) {
      throw wrong(`${program} cannot be run: ${String(cause).split('\n', 1)[0]}`, `Install ${program}.`)
    }
  }
  return [
    {
      name: 'node',
      run() {
        if (Number.parseInt(nodeVersion, 10) >= oldestNode) return `version ${nodeVersion}`
        throw wrong(
          `Expected version ${oldestNode} or later, got ${nodeVersion}.`,
          'Run bin/molehill, which finds the Node that was installed with it.',
        )
      },
    },
    {
      name: 'bash',
      async run(signal) {
        const version = await ask('bash', ['-c', 'echo "$BASH_VERSION"'], signal)
        if (Number.parseInt(version, 10) >= oldestBash) return `version ${version}`
        throw wrong(`Expected version ${oldestBash} or later, got ${version}.`, 'Install a newer bash.')
      },
    },
    {
      name: 'tar',
      run: async (signal) => (await ask('tar', ['--version'], signal)).split('\n', 1)[0] ?? '',
    },
  ]
}

/** Whether what users send can be kept apart as the server is told to. */
export function isolationCheck(
  { isolation, taskUser }: Pick<Configuration, 'isolation' | 'taskUser'>,
  variables: Readonly<Record<string, string | undefined>>,
): Check {
  return {
    name: 'isolation',
    run: async () => (await probeIsolation(isolation, variables, taskUser)).report,
  }
}

/** @param lastWrittenMs when anything in the data directory was written last, as far as is known. */
export function checkClock(nowMs: number, lastWrittenMs: number): string {
  const shown = new Date(nowMs).toISOString()
  const hint = 'Set it right, and keep it so with NTP. Tokens and certificates go by it.'
  if (nowMs < earliestMs) throw wrong(`It shows ${shown}, which is long past.`, hint)
  if (lastWrittenMs - nowMs > hourMs)
    throw wrong(
      `It shows ${shown}, but the data directory was written at ${new Date(lastWrittenMs).toISOString()}.`,
      hint,
    )
  return shown
}

export function wrong(message: string, hint: string): Problem {
  return new Problem('configuration-invalid', message, { hint })
}
