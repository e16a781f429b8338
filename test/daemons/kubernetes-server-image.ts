import { existsSync } from 'node:fs'
import { appendFile, cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findInstallation } from '../../src/cli/installation.ts'
import type { Kubernetes } from './kubernetes.ts'
import { runCommand } from './run-command.ts'

const scripts = join(import.meta.dirname, 'kubernetes')
const { directory: checkout } = findInstallation()

/**
 * Puts an image of this tree's server on a real node: what the Containerfile makes, without a container engine. Node and
 * bash are this machine's, packages are those that are installed here.
 */
export async function importServerImage(kubernetes: Pick<Kubernetes, 'importImage'>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-image-'))
  const name = 'localhost/molehill:test'
  try {
    const [rootfs, archive] = [join(directory, 'rootfs'), join(directory, 'image.tar')]
    await runCommand([join(scripts, 'rootfs.sh'), rootfs, 'busybox', 'bash', `node=${process.execPath}`])
    await appendFile(
      join(rootfs, 'etc/passwd'),
      'molehill:x:10001:10001::/var/lib/molehill:/usr/sbin/nologin\n',
    )
    await appendFile(join(rootfs, 'etc/group'), 'molehill:x:10001:\n')
    await mkdir(join(rootfs, 'var/lib/molehill'), { recursive: true })
    await installServer(join(rootfs, 'opt/molehill'))
    const entrypoint = JSON.stringify(['/opt/molehill/bin/molehill'])
    await runCommand([join(scripts, 'image.sh'), name, rootfs, archive, entrypoint, '["serve"]'])
    await kubernetes.importImage(archive)
    return name
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function installServer(target: string): Promise<void> {
  await mkdir(target, { recursive: true })
  const compiler = join(checkout, 'node_modules/typescript/bin/tsc')
  const project = join(checkout, 'tsconfig.build.json')
  await runCommand([process.execPath, compiler, '-p', project, '--outDir', join(target, 'dist')], {
    timeoutMs: 300_000,
  })
  for (const each of ['bin', 'workflows', 'docs', 'package.json', 'CHANGELOG.md', 'LICENSE', 'SECURITY.md'])
    await cp(join(checkout, each), join(target, each), { recursive: true })
  const lock = JSON.parse(await readFile(join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, { dev?: boolean }>>
  }
  // The Node of the image is used, as the package `node` stays empty without its install script.
  const packages = Object.entries(lock.packages)
    .filter(([path, { dev }]) => dev !== true && path.startsWith('node_modules/'))
    .map(([path]) => path)
    .filter((path) => !/^node_modules\/node(\/|$)/.test(path) && existsSync(join(checkout, path)))
  for (const each of packages)
    await cp(join(checkout, each), join(target, each), { recursive: true, dereference: true })
}
