import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CollectedFiles } from '../environment.ts'
import type { DeclaredOutput } from './command-file.ts'
import type { JobPlace } from './places.ts'

/** Where the logs of a job lie on the server from `collect` to `remove`, when they had to travel. */
export function logDirectory(directory: string, { key, id }: JobPlace): string {
  return join(directory, 'logs', `${key}-${id}`)
}

/** Makes an empty directory for two logs; both are there, also where the job wrote none. */
export function freshLogs(directory: string): { readonly stdout: string; readonly stderr: string } {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  return { stdout: join(directory, 'stdout'), stderr: join(directory, 'stderr') }
}

export function ensureLogs({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): void {
  for (const log of [stdout, stderr]) if (!existsSync(log)) writeFileSync(log, '')
}

/** What came of each declared output. */
export function sortOutputs(
  outputs: readonly DeclaredOutput[],
  isFound: (output: DeclaredOutput) => boolean,
): Pick<CollectedFiles, 'files' | 'missing'> {
  const files: string[] = []
  const missing: string[] = []
  for (const output of outputs) {
    if (isFound(output)) files.push(output.path)
    else if (output.optional !== true) missing.push(output.path)
  }
  return { files, missing }
}
