import { constants, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
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

/** The end of what stands in logs, one after the other, in all at most so many bytes. Whole lines where there are any. */
export async function readLogEnds(logs: readonly string[], limitBytes: number): Promise<string> {
  const texts = []
  for (const log of logs) texts.push(await readEnd(log, Math.floor(limitBytes / logs.length)))
  return texts.join('')
}

async function readEnd(path: string, limitBytes: number): Promise<string> {
  if (!existsSync(path)) return ''
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - limitBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
    return endOf(buffer.subarray(0, bytesRead), from > 0)
  } finally {
    await file.close()
  }
}

/** The text of the end of a log, whose first line is left out where its beginning is missing. */
export function endOf(bytes: Buffer, isCut: boolean): string {
  return (isCut ? bytes.subarray(bytes.indexOf(0x0a) + 1) : bytes).toString('utf8')
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
