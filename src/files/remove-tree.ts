import { chmod, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Removes a file or a directory with all that lies in it; what is missing is fine. Links are removed, never followed.
 * Directories that jobs left without write permission are opened up first.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await remove(path)
  } catch (error) {
    if (!isPermissionError(error)) throw error
    await openUp(path)
    await remove(path)
  }
}

function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 3 })
}

async function openUp(directory: string): Promise<void> {
  await chmod(directory, 0o700)
  for (const child of await readdir(directory, { withFileTypes: true }))
    if (child.isDirectory()) await openUp(join(directory, child.name))
}

function isPermissionError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM')
}
