import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import type { CollectedFiles, JobRequest } from '../../../src/environment/environment.ts'
import { ensureLogs, freshLogs } from '../../../src/environment/job-files/logs.ts'
import { receiveOutputs, type Placing } from '../../../src/environment/job-files/receive-outputs.ts'
import { tarBytes, tarLength, type TarEntry } from '../../../src/environment/job-files/tar-stream.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { keptPaths, plainPath } from './archive.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { execInPod, promptMs } from '../cluster/exec.ts'
import { podPlaces } from '../scripts/places.ts'
import { presentText } from '../scripts/staging-scripts.ts'
import { stagingContainers } from '../pods/template.ts'

/**
 * Unpacks as many bytes as `$1` says, since standard input has no end; the last file says that all is there. A cut may
 * look like an end to tar, but then `start` is missing, which comes last. What has been brought already is left as it
 * is: the job may have begun. All input is read, also by a failure: else nobody would be told of that.
 */
const unpackText = `echo
umask 0
head -c "$1" | {
  cd ${podPlaces.root} && { [ -e in ] || { tar -x -f - && chmod -R a+rX shared start outputs && : >in; }; }
  code=$?
  cat >/dev/null
  exit "$code"
}`

/** The pod cannot unpack what was brought, such as for want of room. */
export const notUnpacked = 'NotUnpacked'
/** The outputs cannot be packed, such as where they cannot be read. */
export const notPacked = 'NotPacked'

/** Packs those of the given paths that are there, with what links lead to. */
const packText = `cd ${podPlaces.job} || exit 1
: >${podPlaces.fetching}
${presentText}
printf '%s\\n' "$MOLEHILL_MARK"
[ "$#" = 0 ] || exec tar -c -h -f - "$@"`

/** Brings the files of a job to its pod, whose first container waits for them. May be repeated until it waits no more. */
export async function bringFiles(
  cluster: Cluster,
  pod: string,
  entries: readonly TarEntry[],
  signal: AbortSignal,
): Promise<void> {
  const { exitCode, stderr } = await execInPod(
    cluster,
    {
      pod,
      container: stagingContainers.in,
      argv: ['sh', '-c', unpackText, 'sh', String(tarLength(entries))],
      stdin: Readable.from(tarBytes(entries), { objectMode: false }),
      firstMs: promptMs,
    },
    signal,
  )
  if (exitCode !== 0)
    throw new ApiError({
      status: 0,
      reason: notUnpacked,
      message: `The files of the job could not be unpacked in the pod ${pod}: ${stderr.trim() || `exit code ${exitCode}`}`,
    })
}

/** Where fetched outputs and logs go. */
export interface FetchPlaces {
  readonly directory: string
  /** For the two logs: emptied first. */
  readonly logs: string
}

/** Writes a tar stream to `stream`, after a line that is the mark. */
export type Packing = (stream: Writable, mark: string) => Promise<void>

/** Packs outputs and logs of a job that has ended in its pod, which keeps them. */
export function packingInPod(
  cluster: Cluster,
  pod: string,
  outputs: JobRequest['outputs'],
  signal: AbortSignal,
): Packing {
  return async (output, mark) => {
    const argv = ['env', `MOLEHILL_MARK=${mark}`, 'sh', '-c', packText, 'sh', ...keptPaths(outputs)]
    const command = { pod, container: stagingContainers.out, argv, output, firstMs: promptMs }
    const { exitCode, stderr } = await execInPod(cluster, command, signal)
    if (exitCode === 0) return
    throw new ApiError({
      status: 0,
      reason: notPacked,
      message: `The outputs of the job could not be packed in the pod ${pod}: ${stderr.trim() || `exit code ${exitCode}`}`,
    })
  }
}

/** Where outputs and logs of one job go as they come, and what has come of them. */
export interface Sorting {
  /** Takes paths below the directory of the job. */
  readonly place: Placing
  /** To be asked when all is there. */
  readonly collected: () => CollectedFiles
}

/** Makes room for the outputs and logs of a job. */
export function sortOutputs(
  { outputs }: Pick<JobRequest, 'outputs'>,
  { directory, logs: logDirectory }: FetchPlaces,
): Sorting {
  const logs = freshLogs(logDirectory)
  const wanted = outputs.map((output) => ({ ...output, plain: plainPath(output.path) }))
  const found = new Set<string>()
  const place: Placing = (path, kind) => {
    if (kind === 'file' && (path === 'stdout' || path === 'stderr')) return logs[path]
    const below = path.startsWith('work/') ? path.slice('work/'.length).replace(/\/+$/, '') : undefined
    const owner = wanted.find(({ plain }) => below === plain || below?.startsWith(`${plain}/`) === true)
    if (below === undefined || owner === undefined) return undefined
    const target = join(directory, below)
    if (below === owner.plain) {
      if (found.has(below)) return undefined
      rmSync(target, { recursive: true, force: true })
      found.add(below)
    }
    return target
  }
  mkdirSync(directory, { recursive: true })
  const collected = (): CollectedFiles => {
    ensureLogs(logs)
    const files = wanted.filter(({ plain }) => found.has(plain))
    const missing = wanted.filter(({ plain, optional }) => !found.has(plain) && optional !== true)
    return { files: files.map(({ path }) => path), missing: missing.map(({ path }) => path), ...logs }
  }
  return { place, collected }
}

/** Fetches what is packed of a job's outputs and logs. */
export async function fetchOutputs(
  request: Pick<JobRequest, 'outputs'>,
  places: FetchPlaces,
  mark: string,
  pack: Packing,
): Promise<CollectedFiles> {
  const { place, collected } = sortOutputs(request, places)
  const { stream, whole } = receiveOutputs(mark, place, () => undefined)
  await pack(stream, mark)
  await whole
  return collected()
}
