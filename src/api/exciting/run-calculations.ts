import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Catalog } from '../../catalog/contract.ts'
import { openInside } from '../../files/safe-open.ts'
import { syncPath } from '../../files/sync-tree.ts'
import { createTarReader } from '../../files/tar-reader.ts'
import { Problem } from '../../problem.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import type { ExecutionState } from '../../engine/contract.ts'
import {
  mostFileBytes,
  type Calculation,
  type CalculationFile,
  type Calculations,
  type CalculationStatus,
} from './calculation.ts'
import { isFinished, readInfo } from './info-state.ts'

export interface RunSettings {
  readonly catalog: Catalog
  readonly executions: OwnExecutions
  /** Workflow of the catalog that calculates. */
  readonly workflow: string
  /** What is run, where the workflow asks for a program. */
  readonly program: string | undefined
  /** Named environment for the jobs; this computer without. */
  readonly environment: string | undefined
}

const hashLabel = 'exciting.hash'
const inputPath = 'input.xml'
const archivePath = 'calculation.tar'

/** Calculations as executions of a workflow of the catalog, on any environment. */
export function runCalculations(settings: RunSettings): Calculations {
  const { catalog, workflow, program, environment } = settings
  return {
    async find(principal, hash) {
      const own = executionsOf(settings.executions, principal)
      const owner = principal.kind === 'user' ? principal.name : ''
      const found = own.list({ owner, labels: { [hashLabel]: hash } }).at(-1)
      return found === undefined ? undefined : calculationOf(found.id, own)
    },
    async start(principal, hash, input, signal) {
      const { name, script, description } = await catalog.find(workflow)
      const takesProgram = description.inputs.some((each) => each.name === 'program')
      await executionsOf(settings.executions, principal).start({
        script,
        name,
        inputs: { input: inputPath, ...(program !== undefined && takesProgram && { program }) },
        labels: { [hashLabel]: hash },
        ...(environment !== undefined && { environment }),
        signal,
        async fill(workDirectory) {
          const evaluation = await catalog.fill(name, workDirectory)
          await writeFile(join(workDirectory, inputPath), input, { mode: 0o600, flag: 'wx' })
          await syncPath(join(workDirectory, inputPath))
          await syncPath(workDirectory)
          return evaluation
        },
      })
    },
  }
}

function calculationOf(id: string, executions: OwnExecutions): Calculation {
  const input = () => readWhole(executions.workDirectory(id), inputPath)
  const files = async (): Promise<readonly CalculationFile[]> => {
    const kept = await readKept(executions.workDirectory(id))
    const others = kept.filter(({ name }) => name !== inputPath)
    return [...others, { name: inputPath, content: await input() }]
  }
  return {
    input,
    files,
    async status() {
      const state = executions.state(id)
      return statusOf(id, state, state.state === 'running' ? [] : await files())
    },
    remove: () => executions.remove(id),
  }
}

function statusOf(id: string, state: ExecutionState, files: readonly CalculationFile[]): CalculationStatus {
  const { counts } = state
  if (state.state === 'running')
    return { jobId: id, state: counts.running > 0 || counts.completed > 0 ? 'running' : 'queued', detail: '' }
  if (state.isCancelled) return { jobId: id, state: 'cancelled', detail: state.error?.message ?? '' }
  const code = files
    .find(({ name }) => name === 'exit-code')
    ?.content.toString('utf8')
    .trim()
  const exitCode = code === undefined || code === '' ? undefined : Number(code)
  const isDone = state.state === 'finished' && isFinished(files, exitCode)
  const iterations = readInfo(files)?.iterations
  const told = [
    ...(exitCode === undefined ? [] : [`exit code ${exitCode}`]),
    ...(iterations === undefined ? [] : [`${iterations} iterations`]),
    ...(state.error === undefined ? [] : [state.error.message]),
  ]
  return { jobId: id, state: isDone ? 'finished' : 'failed', detail: told.join(', ') }
}

/** The files that the job has put into its archive; none while it is not there. */
async function readKept(workDirectory: string): Promise<readonly CalculationFile[]> {
  let opened
  try {
    opened = await openInside(workDirectory, archivePath)
  } catch (error) {
    if (error instanceof Problem && error.code === 'file-missing') return []
    throw error
  }
  await using _closing = opened.handle
  if (opened.stats.size > mostFileBytes) throw tooLarge()
  const files: CalculationFile[] = []
  let chunks: Buffer[] = []
  let name = ''
  const reader = createTarReader({
    entry(entry) {
      name = entry.kind === 'file' ? entry.path.replace(/^\.\//, '') : ''
      chunks = []
    },
    data: (chunk) => void (name === '' ? 0 : chunks.push(Buffer.from(chunk))),
    entryEnd() {
      if (name !== '' && !name.includes('/')) files.push({ name, content: Buffer.concat(chunks) })
      name = ''
    },
    metadata: () => undefined,
  })
  for await (const chunk of opened.handle.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>)
    reader.push(chunk)
  reader.end()
  return files
}

async function readWhole(workDirectory: string, path: string): Promise<Buffer> {
  const { handle, stats } = await openInside(workDirectory, path)
  await using _closing = handle
  if (stats.size > mostFileBytes) throw tooLarge()
  return handle.readFile()
}

function tooLarge(): Problem {
  return new Problem('file-missing', `The files have more than ${mostFileBytes} bytes together.`)
}
