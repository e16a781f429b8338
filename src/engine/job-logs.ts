import { statSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CollectedFiles } from '../environment/environment.ts'

const tailBytes = 2000

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

/** Size of a log; 0 where there is none. Waiting for a thread to look would cost more than looking. */
export function logBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** The end of what a job wrote to its standard error. */
export async function stderrTail(collected: CollectedFiles | undefined): Promise<string> {
  return collected === undefined ? '' : (await readTail(collected.stderr, tailBytes)).trim()
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
