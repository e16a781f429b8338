import { buffer } from 'node:stream/consumers'
import { listDirectory } from '../../files/list-directory.ts'
import { openInside, type OpenedInside } from '../../files/safe-open.ts'
import type { PlanDescription } from '../../workflow/plan.ts'

/** What a job leaves that has a route of its own, and the roles by which an app declares it. */
export const productRoles = {
  sources: 'sources',
  'source-components': 'components',
  'output-sources': 'sources-table',
  'output-components': 'components-table',
  preview: 'preview',
  'output-plot': 'preview',
} as const

export type Product = keyof typeof productRoles

/** Products are small; what is larger is in the archive. */
export const largestProductBytes = 256 * 2 ** 20

/** The first file, by name, of the outputs that have the role. Undefined where there is none. */
export async function openProduct(
  description: PlanDescription,
  role: string,
  workDirectory: string,
): Promise<OpenedInside | undefined> {
  for (const { path } of description.outputs.filter((output) => output.role === role))
    for (const found of await matching(workDirectory, path.split('/'))) {
      const opened = await openInside(workDirectory, found).catch(() => undefined)
      if (opened?.stats.isFile() === true && opened.stats.size <= largestProductBytes) return opened
      await opened?.handle.close()
    }
  return undefined
}

/** The whole of a product; its file is closed. */
export async function readProduct({ handle }: OpenedInside): Promise<Buffer> {
  try {
    return await buffer(handle.createReadStream({ autoClose: false }))
  } finally {
    await handle.close()
  }
}

/** Paths that fit a declared one, in which `*` stands for any text without a slash. */
async function matching(root: string, parts: readonly string[], before = ''): Promise<readonly string[]> {
  const [part, ...rest] = parts
  if (part === undefined) return [before]
  const join = (name: string) => (before === '' ? name : `${before}/${name}`)
  if (!part.includes('*')) return matching(root, rest, join(part))
  const entries = await listDirectory(root, before).catch(() => [])
  const names = entries.map(({ name }) => name).filter((name) => fits(name, part.split('*')))
  const found = await Promise.all(names.map(async (name) => matching(root, rest, join(name))))
  return found.flat()
}

/** Whether a name is made of these pieces with anything between them. */
function fits(name: string, pieces: readonly string[]): boolean {
  const [first = '', ...others] = pieces
  const last = others.pop() ?? ''
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length)
    return false
  let position = first.length
  const end = name.length - last.length
  for (const piece of others) {
    const at = name.indexOf(piece, position)
    if (at < 0 || at + piece.length > end) return false
    position = at + piece.length
  }
  return true
}
