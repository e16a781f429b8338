import { statfs } from 'node:fs/promises'
import { Problem } from '../problem.ts'

/** Keeps some space free, so that what runs already can end well and its end can be kept. */
export interface DiskReserve {
  /** Bytes that this user may still write. */
  freeBytes(): Promise<number>
  /** Throws Problem disk-full, with figures, while less than the reserve is free. */
  check(): Promise<void>
}

export interface DiskReserveOptions {
  /** A directory of the file system that is meant. */
  readonly directory: string
  /** 0 keeps nothing free. */
  readonly reserveBytes: number
  readonly readFreeBytes?: (directory: string) => Promise<number>
}

const mebibyte = 2 ** 20

export function createDiskReserve(options: DiskReserveOptions): DiskReserve {
  const { directory, reserveBytes, readFreeBytes = readFree } = options
  const freeBytes = () => readFreeBytes(directory)
  return {
    freeBytes,
    async check() {
      if (reserveBytes === 0) return
      const free = await freeBytes()
      if (free >= reserveBytes) return
      throw new Problem(
        'disk-full',
        `Expected at least ${showMebibytes(reserveBytes)} MiB free where ${directory} lies, found ${showMebibytes(free)} MiB: nothing new is taken.`,
        {
          hint: 'Free space there, or remove executions that are not needed any more. What runs goes on.',
          retryAfterSeconds: 60,
        },
      )
    },
  }
}

async function readFree(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

function showMebibytes(bytes: number): string {
  return (Math.floor((bytes / mebibyte) * 10) / 10).toLocaleString('en-US', { useGrouping: true })
}
