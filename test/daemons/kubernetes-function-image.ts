import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportContent } from '../../src/environment/job-files/export-content.ts'
import { makeRuntime } from '../../src/script/runtime.ts'
import type { Kubernetes } from './kubernetes.ts'
import { runCommand } from './run-command.ts'

const scripts = join(import.meta.dirname, 'kubernetes')

/** Puts an image on a real node in which functions run: it has the libraries of Node, and what `molehill runtime` writes. */
export async function importFunctionImage(kubernetes: Pick<Kubernetes, 'importImage'>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-image-'))
  const name = 'localhost/functions:test'
  try {
    const [rootfs, archive] = [join(directory, 'rootfs'), join(directory, 'image.tar')]
    await runCommand([join(scripts, 'rootfs.sh'), rootfs, 'busybox', `node=${process.execPath}`])
    const runtime = await makeRuntime(join(directory, 'runtime'), Date.now())
    for (const from of [runtime.node, runtime.directory])
      await exportContent(from, join(rootfs, 'usr/share/molehill'), AbortSignal.timeout(60_000))
    await runCommand([join(scripts, 'image.sh'), name, rootfs, archive])
    await kubernetes.importImage(archive)
    return name
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
