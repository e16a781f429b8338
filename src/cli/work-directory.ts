import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Problem } from '../problem.ts'
import type { Terminal } from './screen/terminal.ts'

export const defaultScript = 'workflow.ts'

/** The absolute path of a work directory that somebody named. Throws Problem('file-missing'). */
export async function findWorkDirectory(named: string, terminal: Terminal): Promise<string> {
  const directory = resolve(terminal.currentDirectory, named)
  if ((await kindOf(directory)) === 'directory') return directory
  throw new Problem('file-missing', `There is no directory ${directory}.`, {
    hint: '`molehill init DIR` makes one to start from.',
  })
}

/** What lies at `path`. */
export async function kindOf(path: string): Promise<'directory' | 'file' | 'nothing'> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file'
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'nothing'
    throw error
  }
}
