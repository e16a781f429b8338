import { once } from 'node:events'
import { realpath } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { awaitEnd, programEnd } from '../isolation/box-end.ts'
import { noIsolation, type BoxView, type Isolation } from '../isolation/isolation.ts'
import { packagePaths } from '../isolation/package-paths.ts'
import type { Plan } from '../workflow/plan.ts'
import { keepBeginning } from './bounded-text.ts'
import { checkFiles } from './check-files.ts'
import type { Evaluation } from './contract.ts'
import { readAnswer, type ScriptEnd } from './evaluation-answer.ts'
import { findScript } from './script-path.ts'
import { endGroup, spawnNode } from './spawn-node.ts'

/** How much a script may take while it is read. */
export interface EvaluationLimits {
  readonly timeMs: number
  readonly memoryBytes: number
  /** Console output: a script that writes more is ended. */
  readonly outputBytes: number
}

/** A plan larger than this is refused. */
const answerBytesAtMost = 64 * 1024 * 1024
const fileBytesAtMost = 64 * 1024 * 1024
/** Threads of Node count as well. */
const processesAtMost = 128

/**
 * Runs the posted script in a process of its own and takes the plan it makes. None of its functions is called.
 * Throws `script-missing`, `script-invalid` or `workflow-invalid`, each with file, line and column where they are
 * known; the stack of what the script threw is the cause's. Rejects with the signal's reason when aborted.
 * @param script path relative to the work directory
 * @param environment the server's environment variables; only harmless ones are handed on
 * @param isolation what keeps the script apart from the server; nothing but its own process without
 */
export async function evaluateScript({
  workDirectory,
  script,
  limits,
  signal,
  environment = {},
  isolation = noIsolation,
}: {
  readonly workDirectory: string
  readonly script: string
  readonly limits: EvaluationLimits
  readonly signal: AbortSignal
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly isolation?: Isolation
}): Promise<Evaluation> {
  signal.throwIfAborted()
  const directory = await realpath(workDirectory)
  const found = await findScript(directory, script)
  const end = await runScript({ directory, script: found, limits, signal, environment, isolation })
  signal.throwIfAborted()
  const { plan, modules } = readAnswer(end, {
    script: found,
    workUrl: pathToFileURL(`${directory}/`).href,
    limits,
  })
  await checkFiles(plan satisfies Plan, directory)
  return { plan, modules }
}

/** What a script sees while it is read, besides what Node needs. */
export function scriptView(directory: string): Omit<BoxView, 'limits' | 'directory' | 'isSession'> {
  return { base: 'node', readOnly: [directory], readWrite: [], network: false }
}

async function runScript({
  directory,
  script,
  limits,
  signal,
  environment,
  isolation,
}: {
  readonly directory: string
  readonly script: string
  readonly limits: EvaluationLimits
  readonly signal: AbortSignal
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly isolation: Isolation
}): Promise<ScriptEnd> {
  const megabytes = Math.max(16, Math.floor(limits.memoryBytes / 1024 / 1024))
  const child = spawnNode({
    module: 'evaluate-child',
    args: [directory, script],
    nodeOptions: [`--max-old-space-size=${megabytes}`, ...permissions(isolation, directory)],
    workDirectory: directory,
    memoryBytes: limits.memoryBytes,
    // Threads of Node count too, so a script uses more of it than time passes.
    processorSeconds: 2 + (4 * limits.timeMs) / 1000,
    limits: { fileBytes: fileBytesAtMost, openFiles: 1024, processes: processesAtMost },
    isolation,
    view: scriptView(directory),
    environment,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  })
  let endedFor: ScriptEnd['endedFor'] = null
  const end = (reason: ScriptEnd['endedFor']): void => {
    endedFor ??= reason
    endGroup(child)
  }
  const onAbort = (): void => end('abort')
  const timer = setTimeout(() => end('time'), limits.timeMs)
  signal.addEventListener('abort', onAbort)
  try {
    const [input, , , answers] = child.stdio
    input?.on('error', () => undefined)
    const output = keepBeginning(child.stdout as Readable, limits.outputBytes, () => end('output'))
    const errors = keepBeginning(child.stderr as Readable, limits.outputBytes, () => end('output'))
    const answer = keepBeginning(answers as Readable, answerBytesAtMost, () => end('answer'))
    const exit = once(child, 'exit').then(([code, killedBy]) => {
      // What the script has started must not outlive it, nor hold its pipes open.
      endGroup(child)
      const how = programEnd(isolation, code as number | null, killedBy as NodeJS.Signals | null)
      return { code: how.code, killedBy: how.signal }
    })
    const [how] = await Promise.all([exit, awaitEnd(child)])
    return { ...how, endedFor, answer: answer.text(), output: output.text(), errors: errors.text() }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    endGroup(child)
  }
}

/** Node's own permissions: a second fence behind that of the box, and the only one where there is none. */
function permissions({ wish }: Isolation, directory: string): string[] {
  if (wish === 'none') return []
  return ['--permission', ...[...packagePaths(), directory].map((path) => `--allow-fs-read=${path}`)]
}
