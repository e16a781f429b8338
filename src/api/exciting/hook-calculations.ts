import { execFile } from 'node:child_process'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { listDirectory } from '../../files/list-directory.ts'
import { removeTree } from '../../files/remove-tree.ts'
import { openInside } from '../../files/safe-open.ts'
import { syncPath, syncTree } from '../../files/sync-tree.ts'
import { sizeOfTree } from '../../files/tree-size.ts'
import { Problem } from '../../problem.ts'
import type { KeptOfUsers } from '../../users/contract.ts'
import type { Principal } from '../access/principal.ts'
import {
  mostFileBytes,
  type Calculation,
  type CalculationFile,
  type Calculations,
  type CalculationStatus,
} from './calculation.ts'
import { isFinished, readInfo } from './info-state.ts'

/** Programs that a site has written. Each gets the calculation's directory and runs in the one above. */
export interface Hooks {
  /** Directory of all calculations. */
  readonly directory: string
  /** Submits the job, and leaves its id in the file `job`. */
  readonly startCalculation: string
  /** Says how the job stands: its output is shown, and it fails when there is no such job any more. */
  readonly getStatus: string | undefined
  /** Ends the job. */
  readonly stopCalculation: string | undefined
  readonly timeoutMs: number
  /** All variables that the programs get. */
  readonly variables: Readonly<Record<string, string>>
}

const printedBytes = 2 ** 20
const startFailed = 'startcalc-failed'

/** Calculations in directories, started and watched by programs of the site. */
export function hookCalculations(hooks: Hooks): Calculations {
  return {
    async find(principal, hash) {
      const above = directoryOf(principal, hooks)
      try {
        const { handle } = await openInside(hooks.directory, join(nameOf(principal), hash, 'input.xml'))
        await handle.close()
        return calculationIn(above, hash, hooks)
      } catch (error) {
        if (error instanceof Problem && error.code === 'file-missing') return undefined
        throw error
      }
    },
    async start(principal, hash, input, signal) {
      const above = directoryOf(principal, hooks)
      await mkdir(above, { recursive: true, mode: 0o755 })
      const beside = join(above, `.${randomUUID()}`)
      await mkdir(beside, { mode: 0o755 })
      await writeFile(join(beside, 'input.xml'), input)
      await syncTree(beside)
      await rename(beside, join(above, hash))
      await syncPath(above)
      try {
        await runHook(hooks.startCalculation, join(above, hash), above, hooks, signal)
      } catch (error) {
        await writeFile(join(above, hash, startFailed), reasonOf(error))
        throw new Problem('execution-failed', `The calculation cannot be started: ${reasonOf(error)}`, {
          cause: error,
        })
      }
    },
  }
}

/** What hooks keep of users, who have no executions here. */
export function keptByHooks({ directory }: Pick<Hooks, 'directory'>): KeptOfUsers {
  const own = (owner: string) => join(directory, owner === '' ? operatorName : owner)
  return {
    storedBytes: (owner) => sizeOfTree(own(owner)).catch(() => 0),
    forget: (owner) => removeTree(own(owner)),
  }
}

/** No user can be called like this. */
const operatorName = '.operator'

function nameOf(principal: Principal): string {
  return principal.kind === 'user' ? principal.name : operatorName
}

function directoryOf(principal: Principal, { directory }: Hooks): string {
  return join(directory, nameOf(principal))
}

function calculationIn(above: string, hash: string, hooks: Hooks): Calculation {
  const files = () => readFiles(above, hash)
  return {
    files,
    input: async () => {
      const input = (await files()).find(({ name }) => name === 'input.xml')
      if (input === undefined) throw new Problem('file-missing', 'There is no input.xml.')
      return input.content
    },
    status: async (signal) => statusOf(await files(), join(above, hash), above, hooks, signal),
    async remove(signal) {
      const { stopCalculation } = hooks
      if (stopCalculation !== undefined)
        // A job that has ended cannot be stopped, and its files go away all the same.
        await runHook(stopCalculation, join(above, hash), above, hooks, signal).catch(() => undefined)
      await removeTree(join(above, hash))
    },
  }
}

async function statusOf(
  files: readonly CalculationFile[],
  directory: string,
  above: string,
  hooks: Hooks,
  signal: AbortSignal,
): Promise<CalculationStatus> {
  const textIn = (name: string) =>
    files
      .find((file) => file.name === name)
      ?.content.toString('utf8')
      .trim() ?? ''
  const jobId = /^[\x20-\x7e]{0,200}/.exec(textIn('job'))?.[0] ?? ''
  const failure = textIn(startFailed)
  if (failure !== '') return { state: 'failed', jobId, detail: failure }
  let detail = ''
  let isGone = false
  if (hooks.getStatus !== undefined)
    try {
      detail = await runHook(hooks.getStatus, directory, above, hooks, signal)
    } catch (error) {
      detail = reasonOf(error)
      isGone = true
    }
  if (isFinished(files, undefined)) return { state: 'finished', jobId, detail }
  if (isGone) return { state: 'failed', jobId, detail }
  if (hooks.getStatus === undefined && readInfo(files) === undefined)
    return { state: 'unknown', jobId, detail }
  return { state: files.some(({ name }) => name === 'info.xml') ? 'running' : 'queued', jobId, detail }
}

async function readFiles(above: string, hash: string): Promise<readonly CalculationFile[]> {
  const entries = (await listDirectory(above, hash)).filter(
    ({ name, type }) => type === 'file' && (name.endsWith('.xml') || plainFiles.has(name)),
  )
  const bytes = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (bytes > mostFileBytes)
    throw new Problem('file-missing', `The files have more than ${mostFileBytes} bytes together.`)
  const files: CalculationFile[] = []
  for (const { name, sizeBytes } of entries) {
    const { handle } = await openInside(above, join(hash, name))
    await using _closing = handle
    // The program may be writing: what it adds meanwhile comes with the next look.
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, 0)
    files.push({ name, content: buffer.subarray(0, bytesRead) })
  }
  return files
}

const plainFiles = new Set(['stdout', 'stderr', 'job', startFailed])

const runFile = promisify(execFile)

async function runHook(
  program: string,
  directory: string,
  above: string,
  { timeoutMs, variables }: Hooks,
  signal: AbortSignal,
): Promise<string> {
  const { stdout } = await runFile(program, [directory], {
    cwd: above,
    env: variables,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: printedBytes,
    encoding: 'utf8',
    signal,
  })
  return stdout.trim()
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const told = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim().slice(-2000) : ''
  return told === '' ? 'the program of the site failed' : told
}
