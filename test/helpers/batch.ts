import type { Batch } from '../../src/environment/batch/scheduler.ts'
import type { HostResult } from '../../src/environment/host.ts'

/** A batch of three jobs without wishes. */
export function makeBatch(more: Partial<Batch> = {}): Batch {
  return {
    name: 'm7f3a',
    size: 3,
    resources: {},
    directory: '/home/ada/m7f3a',
    logPath: '/home/ada/m7f3a/log',
    ...more,
  }
}

/** What a command has said. */
export function said(stdout: string, stderr = '', exitCode: number | null = 0): HostResult {
  return { exitCode, stdout, stderr }
}
