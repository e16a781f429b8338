import { copyFile, mkdir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncTree } from '../files/sync-tree.ts'
import type { Evaluation } from './contract.ts'

/**
 * Copies the script's modules into `modulesDirectory`, under the paths they have in the work directory, together with
 * the package.json files that tell Node how to read them. They outlive a power cut.
 */
export async function snapshotModules(
  evaluation: Evaluation,
  workDirectory: string,
  modulesDirectory: string,
): Promise<void> {
  const directory = await realpath(workDirectory)
  const modules = new Set([evaluation.plan.script, ...evaluation.modules])
  const packages = new Set([...modules].flatMap((module) => packageFiles(module)))
  for (const path of modules) await copy(path)
  for (const path of packages)
    await copy(path).catch((error: unknown) => {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ENOENT') throw error
    })
  await syncTree(modulesDirectory)

  async function copy(path: string): Promise<void> {
    const target = join(modulesDirectory, path)
    await mkdir(dirname(target), { recursive: true })
    await copyFile(join(directory, path), target)
  }
}

function packageFiles(module: string): string[] {
  const folders = dirname(module).split('/')
  return ['package.json', ...folders.map((_, index) => join(...folders.slice(0, index + 1), 'package.json'))]
}
