import { z } from 'zod'
import { text } from 'node:stream/consumers'
import { Problem } from '../problem.ts'
import { openInside } from '../files/safe-open.ts'

const defaultScript = 'workflow.ts'
const mostBytes = 2 ** 20
const withMain = z.looseObject({ main: z.string().optional() })

/**
 * The script of an entry: `main` of its package.json, else `workflow.ts`. Throws Problem script-invalid for a
 * package.json that cannot be read.
 */
export async function findEntryScript(directory: string): Promise<string> {
  const content = await readPackage(directory)
  if (content === undefined) return defaultScript
  try {
    return withMain.parse(JSON.parse(content)).main ?? defaultScript
  } catch (cause) {
    throw new Problem('script-invalid', 'package.json is no JSON object whose "main" is a text.', {
      hint: 'Its "main" is the path of the script; without one the script is workflow.ts.',
      cause,
    })
  }
}

async function readPackage(directory: string): Promise<string | undefined> {
  try {
    const { handle, stats } = await openInside(directory, 'package.json')
    await using _closing = handle
    if (!stats.isFile()) return undefined
    if (stats.size > mostBytes)
      throw new Problem(
        'script-invalid',
        `package.json has ${stats.size} bytes; expected at most ${mostBytes}.`,
      )
    return await text(handle.createReadStream({ autoClose: false }))
  } catch (error) {
    if (error instanceof Problem && error.code === 'file-missing') return undefined
    throw error
  }
}
