import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { bringOutput } from '../../src/environment/bring-output.ts'
import type { CollectedFiles } from '../../src/environment/environment.ts'
import type { JobLimits } from '../../src/environment/plugin.ts'
import type { LocalJob } from './job.ts'
import { remarkOn } from './remark.ts'

const complaintBytes = 4096

/** Brings the outputs of a job that is over into `directory`, and says what may have gone wrong with it. */
export async function collectJob(
  job: LocalJob,
  directory: string,
  limits: JobLimits,
  signal: AbortSignal,
): Promise<CollectedFiles> {
  const place = job.directory ?? directory
  const logs = { stdout: join(place, 'stdout'), stderr: join(place, 'stderr') }
  if (job.directory === undefined) mkdirSync(directory, { recursive: true })
  for (const log of [logs.stdout, logs.stderr])
    if (!existsSync(log)) writeFileSync(log, '')
    else if (limits.printedBytes !== undefined) cut(log, limits.printedBytes)
  const remark = remarkOf(job, place, logs.stderr, limits)
  const files: string[] = []
  const missing: string[] = []
  if (job.request.outputs.length > 0) {
    const roots = {
      jobDirectory: join(place, 'work'),
      workDirectory: realpathSync.native(job.request.workDirectory),
    }
    for (const { path, optional } of job.request.outputs) {
      signal.throwIfAborted()
      if (await bringOutput(path, roots, directory)) files.push(path)
      else if (optional !== true) missing.push(path)
    }
  }
  return { files, missing, ...logs, ...(remark !== undefined && { remark }) }
}

function remarkOf(job: LocalJob, place: string, log: string, limits: JobLimits): string | undefined {
  const { endCode: code } = job
  if (code === undefined) return undefined
  const complaint = code === 0 ? '' : readEnd(log)
  return remarkOn(
    { code, complaint, directories: [place, job.request.workDirectory].filter((each) => existsSync(each)) },
    limits,
  )
}

function readEnd(path: string): string {
  const { size } = statSync(path)
  if (size === 0) return ''
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(complaintBytes)
    return bytes.toString(
      'utf8',
      0,
      readSync(file, bytes, 0, complaintBytes, Math.max(0, size - complaintBytes)),
    )
  } finally {
    closeSync(file)
  }
}

function cut(path: string, limitBytes: number): void {
  if (statSync(path).size > limitBytes) truncateSync(path, limitBytes)
}
