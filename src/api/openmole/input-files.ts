import { mkdir } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { safeFileName } from '../../files/safe-file-name.ts'
import { syncPath } from '../../files/sync-tree.ts'
import { Problem } from '../../problem.ts'
import type { PlanDescription } from '../../workflow/plan.ts'
import type { ReceivedFile } from '../route.ts'

/** Uploaded files as inputs of a workflow. */
export interface InputFiles {
  /** Paths in the work directory, by the name of the input. */
  readonly inputs: Readonly<Record<string, string | readonly string[]>>
  /** Puts the files there. Throws Problem workflow-conflict where the workflow has something of its own in their place. */
  place(workDirectory: string): Promise<void>
}

/** Files lie in `inputs/NAME/`, so that those of the workflow stay as they are. */
const folder = 'inputs'

/**
 * Gives each file to the input that it was sent for. Throws Problem inputs-invalid that names everything that is wrong.
 */
export function assignFiles(
  files: readonly ReceivedFile[],
  { inputs }: PlanDescription,
  given: Readonly<Record<string, unknown>>,
): InputFiles {
  const problems: string[] = []
  const assigned: [string, string | readonly string[]][] = []
  const placed: { readonly file: ReceivedFile; readonly path: string }[] = []
  for (const [name, own] of Map.groupBy(files, ({ field }) => field)) {
    const input = inputs.find((each) => each.name === name)
    // That there is no such input is told with all else that is wrong with the inputs.
    if (input !== undefined && input.type.base !== 'file') problems.push(`${name}: it is no file input.`)
    if (Object.hasOwn(given, name)) problems.push(`${name}: it came as a file and among the inputs.`)
    const isArray = (input?.type.dimensions ?? 0) > 0
    if (own.length > 1 && !isArray) problems.push(`${name}: expected one file, got ${own.length}.`)
    const directory = join(folder, safeFileName(name))
    const names = distinct(own.map(({ fileName }) => safeFileName(fileName)))
    const paths = names.map((each) => join(directory, each))
    assigned.push([name, isArray ? paths : (paths[0] ?? '')])
    placed.push(...own.map((file, index) => ({ file, path: paths[index] ?? '' })))
  }
  if (problems.length > 0)
    throw new Problem('inputs-invalid', problems.join('\n'), {
      hint: 'POST /describe, or molehill describe NAME, tells which inputs there are.',
    })
  return {
    inputs: Object.fromEntries(assigned),
    async place(workDirectory) {
      if (placed.length === 0) return
      const directories = new Set(placed.map(({ path }) => join(path, '..')))
      await mkdir(join(workDirectory, folder), { recursive: true, mode: 0o700 })
      for (const directory of directories) await makeOwn(workDirectory, directory)
      for (const { file, path } of placed) await file.place(join(workDirectory, path))
      for (const directory of [...directories, folder, '.']) await syncPath(join(workDirectory, directory))
    },
  }
}

async function makeOwn(workDirectory: string, directory: string): Promise<void> {
  try {
    await mkdir(join(workDirectory, directory), { mode: 0o700 })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    throw new Problem(
      'workflow-conflict',
      `The workflow has something of its own at ${directory}, where the uploaded file belongs.`,
      { hint: `Leave ${directory} out of the folder of the workflow.` },
    )
  }
}

/** The same names, those that come again with a number: `a.txt`, `a-2.txt`. */
function distinct(names: readonly string[]): readonly string[] {
  const taken = new Set<string>()
  return names.map((name) => {
    const ending = extname(name)
    let own = name
    for (let number = 2; taken.has(own); number += 1)
      own = `${name.slice(0, name.length - ending.length)}-${number}${ending}`
    taken.add(own)
    return own
  })
}
