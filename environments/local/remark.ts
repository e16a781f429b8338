import { statfsSync } from 'node:fs'
import type { JobLimits } from '../../src/environment/plugin.ts'
import { showBytes } from './show-bytes.ts'

/** What is known of a job that has ended. */
export interface EndedJob {
  /** As a shell tells it: a signal is 128 and its number. */
  readonly code: number
  /** The last that it wrote to its standard error. */
  readonly complaint: string
  /** Directories on the disks that it writes to. */
  readonly directories: readonly string[]
}

/** With less than this free, a disk counts as full. */
const leastFreeBytes = 2 ** 20
/** A program that was refused a large piece may have left this much. */
const littleFreeBytes = 2 ** 28
const fileTooLarge = 128 + 25
const killed = 128 + 9

const noSpace = /no space left|disk full|ENOSPC|quota exceeded|EDQUOT/i
const noMemory =
  /out of memory|cannot allocate|memory allocation|memory exhausted|not enough memory|insufficient memory|MemoryError|OutOfMemory|bad_alloc|allocation fail|ENOMEM/i
const noFork = /resource temporarily unavailable|cannot fork|can't fork|can't start new thread|EAGAIN/i
const noLargerFile = /file too large|file size limit exceeded|EFBIG/i

/**
 * What this computer knows of why a job may have gone wrong: a disk that is full, or the limit that it met as far as
 * one can tell by its complaint. The text goes on in a sentence.
 */
export function remarkOn(job: EndedJob, limits: JobLimits): string | undefined {
  const { code, complaint } = job
  return (
    remarkOnDisk(job) ??
    remarkOnLimit(code === fileTooLarge || noLargerFile.test(complaint), limits.fileBytes, (bytes) => {
      return `a file that it writes may have at most ${showBytes(bytes)} (--task-file-size)`
    }) ??
    remarkOnLimit(noMemory.test(complaint), limits.memoryBytes, (bytes) => {
      return `each of its processes may take at most ${showBytes(bytes)} of memory (--task-memory)`
    }) ??
    remarkOnLimit(noFork.test(complaint), limits.processes, (processes) => {
      return `it may have at most ${processes} processes and threads (--task-processes)`
    }) ??
    (code === killed ? 'as the kernel does when memory runs out' : undefined)
  )
}

function remarkOnLimit(
  isMet: boolean,
  limit: number | undefined,
  tell: (limit: number) => string,
): string | undefined {
  return isMet && limit !== undefined ? tell(limit) : undefined
}

function remarkOnDisk({ complaint, directories }: EndedJob): string | undefined {
  const hasComplained = noSpace.test(complaint)
  for (const directory of directories) {
    const { blocks, bavail, bsize, files, ffree } = statfsSync(directory)
    if (blocks === 0) continue
    const free = bavail * bsize
    if (files > 0 && ffree === 0) return `the disk of ${directory} can hold no more files`
    if (free < (hasComplained ? littleFreeBytes : leastFreeBytes))
      return `the disk of ${directory} is full: ${showBytes(free)} are free`
  }
  return hasComplained ? 'a disk that it wrote to is full; a /tmp of its own holds 1 GiB' : undefined
}
