import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Problem } from '../problem.ts'
import type { Plan } from '../workflow/plan.ts'
import { referencedFiles, type ReferencedFile } from '../workflow/referenced-files.ts'
import { describeProblem } from '../workflow/workflow-error.ts'
import { insidePath } from './script-path.ts'

/**
 * Throws `workflow-invalid` naming every file and directory that the plan counts on and that is not in the work
 * directory.
 * @param workDirectory free of links itself
 */
export async function checkFiles(plan: Plan, workDirectory: string): Promise<void> {
  const missing: string[] = []
  for (const file of referencedFiles(plan))
    if (!(await isThere(file, workDirectory)))
      missing.push(
        describeProblem({
          location: file.location,
          message: `There is no ${file.kind} ${JSON.stringify(file.path)} in the work directory; ${file.by} needs it.`,
        }),
      )
  if (missing.length > 0)
    throw new Problem('workflow-invalid', missing.join('\n'), {
      hint: 'Put it into the archive, or name it by its path inside of the work directory.',
    })
}

async function isThere(file: ReferencedFile, workDirectory: string): Promise<boolean> {
  const path = await insidePath(workDirectory, file.path)
  if (path === undefined) return false
  const found = await stat(join(workDirectory, path))
  return file.kind === 'directory' ? found.isDirectory() : found.isFile()
}
