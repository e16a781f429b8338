import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncPath, syncTree } from '../../files/sync-tree.ts'
import type { Json } from '../../workflow/value.ts'
import type { App } from './apps.ts'
import type { GatheredFiles } from './input-files.ts'

/** What one job of a batch starts with. */
export interface PreparedJob {
  readonly inputs: Readonly<Record<string, Json>>
  /** Files that are gathered, and where in the work directory this job has each. */
  readonly files: readonly { readonly gathered: string; readonly path: string }[]
}

const inputDirectory = 'boinc-inputs'

/** Where in the work directory a gathered file lies under a name of the job's choice. */
export function inputPath(gathered: string, openName: string): string {
  return `${inputDirectory}/${gathered}/${openName}`
}

/** The script that runs a batch of an app, beside the script of the app itself. */
export function batchScript(
  { workflow }: App,
  timeoutMs: number | undefined,
): { path: string; text: string } {
  const limits = timeoutMs === undefined ? '' : `, { timeoutMs: ${timeoutMs} }`
  const { script } = workflow
  return {
    path: 'boinc-batch.ts',
    text: [
      `// One job for each element of the inputs of ${JSON.stringify(script)}: written for a batch that came over BOINC.`,
      `import { batch } from 'molehill'`,
      `import app from ${JSON.stringify(`./${script}`)}`,
      `export default batch(app${limits})`,
      '',
    ].join('\n'),
  }
}

/** The inputs of all jobs together: one array an input. */
export function batchInputs(
  app: App,
  jobs: readonly PreparedJob[],
): Readonly<Record<string, readonly Json[]>> {
  return Object.fromEntries(
    app.workflow.description.inputs.map(({ name }) => [name, jobs.map(({ inputs }) => inputs[name] ?? null)]),
  )
}

/** Puts the script and the files of the jobs into the work directory, beside those of the app. */
export async function placeBatch(
  workDirectory: string,
  script: { readonly path: string; readonly text: string },
  jobs: readonly PreparedJob[],
  gathered: GatheredFiles,
): Promise<void> {
  await writeFile(join(workDirectory, script.path), script.text, { flag: 'wx', mode: 0o600 })
  const placed = new Set<string>()
  for (const { files } of jobs)
    for (const file of files) {
      if (placed.has(file.path)) continue
      placed.add(file.path)
      await mkdir(join(workDirectory, file.path, '..'), { recursive: true, mode: 0o700 })
      await gathered.place(file.gathered, join(workDirectory, file.path))
    }
  if (placed.size > 0) await syncTree(join(workDirectory, inputDirectory))
  await syncPath(join(workDirectory, script.path))
  await syncPath(workDirectory)
}
