import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { homedir, tmpdir } from 'node:os'
import { dirname, delimiter } from 'node:path'
import { fileURLToPath } from 'node:url'
import { boxCommand } from '../isolation/box-command.ts'
import type { BoxView, Isolation, ProcessLimits } from '../isolation/isolation.ts'
import { packagePaths } from '../isolation/package-paths.ts'

/** A Node process for user code: what it runs, and how much it may take. */
export interface BoxedNode {
  /** Name, without extension, of the module of this folder that it runs. */
  readonly module: string
  readonly args: readonly string[]
  readonly nodeOptions: readonly string[]
  readonly workDirectory: string
  /** Private memory of the whole process, besides what Node takes for itself; unlimited without. */
  readonly memoryBytes?: number
  /** Processor time after which the kernel ends it, in case nobody else is left to do so; unlimited without. */
  readonly processorSeconds?: number
  readonly limits?: Omit<ProcessLimits, 'memoryBytes' | 'processorSeconds'>
  readonly isolation: Isolation
  /** What it sees, besides what Node needs. */
  readonly view: Omit<BoxView, 'limits' | 'directory' | 'isSession'>
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdio: StdioOptions
}

// What Node reserves for itself and mostly does not use counts as well: half a gibibyte, and as much for every thread.
const nodeOwnBytes = 1024 * 1024 * 1024

/**
 * Starts a process that leads a group of its own, so that `endGroup` ends all it has started, and that sees only
 * harmless variables of the server's environment.
 */
export function spawnNode(box: BoxedNode): ChildProcess {
  const { isolation, view, limits, memoryBytes, processorSeconds } = box
  // The limits hold from before the first line of JavaScript.
  const [program = '', ...words] = boxCommand(
    isolation,
    [process.execPath, '--no-warnings', ...box.nodeOptions, siblingPath(box.module), ...box.args],
    {
      ...view,
      readOnly: [...packagePaths(), ...view.readOnly],
      directory: box.workDirectory,
      isSession: true,
      limits: {
        ...limits,
        ...(memoryBytes !== undefined && { memoryBytes: memoryBytes + nodeOwnBytes }),
        ...(processorSeconds !== undefined && { processorSeconds }),
      },
    },
  )
  return spawn(program, words, {
    cwd: box.workDirectory,
    detached: true,
    env: harmless(box.environment),
    stdio: box.stdio,
  })
}

/** Ends, at once, all processes of the group that `spawnNode` started. */
export function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // ESRCH: all have gone already.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** Path of a module of this folder, as source or as built, whichever is running. */
export function siblingPath(module: string): string {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return fileURLToPath(new URL(`./${module}${extension}`, import.meta.url))
}

const passedOn = /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH)$/

function harmless(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const fallback = {
    PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
    HOME: homedir(),
    TMPDIR: tmpdir(),
  }
  const given = Object.entries(environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && passedOn.test(entry[0]),
  )
  return { ...fallback, ...Object.fromEntries(given) }
}
