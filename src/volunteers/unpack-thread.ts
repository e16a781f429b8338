/**
 * The thread that unpacks small results of volunteers' hosts, as `unpack-child.ts` does with all else: into a quarantine
 * that becomes the target when all of it was good.
 */
import { createReadStream } from 'node:fs'
import { mkdtemp, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parentPort } from 'node:worker_threads'
import { defaultArchiveLimits, type ArchiveLimits } from '../files/archive-limits.ts'
import { readArchive } from '../files/read-archive.ts'
import { removeTree } from '../files/remove-tree.ts'
import { toProblem } from '../problem.ts'
import type { UnpackingReply, UnpackingRequest } from './unpack-results.ts'

/** What one result may take of the thread's time and memory. */
const limits: ArchiveLimits = { ...defaultArchiveLimits, unpackedBytes: 32 * 1024 ** 2, entries: 2000 }

async function unpack({ path, target }: UnpackingRequest): Promise<UnpackingReply> {
  let quarantine: string | undefined
  const source = createReadStream(path)
  try {
    quarantine = await mkdtemp(join(dirname(target), `.${basename(target)}.`))
    await readArchive(source, quarantine, limits)
    await rename(quarantine, target)
    return { kind: 'unpacked' }
  } catch (error) {
    if (quarantine !== undefined) await removeTree(quarantine)
    const { code, message } = toProblem(error)
    // Larger ones are not too large yet, and what else is wrong is found out by who has the whole gate.
    return code === 'archive-invalid' || code === 'archive-unsafe'
      ? { kind: 'refused', code, message }
      : { kind: 'not-here' }
  } finally {
    source.destroy()
  }
}

/** One after the other: answers come in the order of the requests. */
let last: Promise<void> = Promise.resolve()

parentPort?.on('message', (request: UnpackingRequest) => {
  last = last
    .then(() => unpack(request))
    .then(
      (reply) => parentPort?.postMessage(reply),
      () => parentPort?.postMessage({ kind: 'not-here' } satisfies UnpackingReply),
    )
})
