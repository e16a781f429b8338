import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, isAbsolute, join, relative, sep } from 'node:path'
import { Problem } from '../problem.ts'

const extensions = ['.ts', '.js', '.mts', '.mjs']
const namedAtMost = 30

/**
 * The path of the script, without links, relative to the work directory, which must be free of links itself. Throws
 * `script-missing` where there is no such file inside of the work directory, `script-invalid` where it is of a kind
 * that is not read.
 */
export async function findScript(workDirectory: string, script: string): Promise<string> {
  const path = await insidePath(workDirectory, script)
  const isFile = path !== undefined && (await stat(join(workDirectory, path))).isFile()
  if (!isFile)
    throw new Problem(
      'script-missing',
      `The script doesn't exist in the workDirectory. The content of the workDirectory is: ${await listNames(workDirectory)}`,
      { hint: 'Name the script by its path inside of the work directory, such as workflow.ts.' },
    )
  if (!extensions.includes(extname(path)))
    throw new Problem(
      'script-invalid',
      `${script} is no workflow script; expected a file ending in ${extensions.join(', ')}.`,
    )
  return path
}

/**
 * Where `path` leads inside of the work directory, without links and relative to it; undefined where it does not
 * exist, or leads out.
 * @param workDirectory free of links itself
 */
export async function insidePath(workDirectory: string, path: string): Promise<string | undefined> {
  if (path === '' || path.includes('\0') || isAbsolute(path) || path.split('/').includes('..'))
    return undefined
  const real = await realpath(join(workDirectory, path)).catch(() => undefined)
  if (real === undefined) return undefined
  const inside = relative(workDirectory, real)
  return inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside) ? undefined : inside
}

async function listNames(workDirectory: string): Promise<string> {
  const names = (await readdir(workDirectory)).sort()
  const shown = names.slice(0, namedAtMost).map((name) => name.slice(0, 100))
  const rest = names.length - shown.length
  return [...shown, ...(rest > 0 ? [`and ${rest} more`] : [])].join(', ')
}
