import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { compile } from '../workflow/compile.ts'
import type { FunctionTable } from '../workflow/compile-task.ts'
import type { FunctionJob } from '../workflow/task.ts'
import { Workflow } from '../workflow/workflow.ts'
import type { FunctionOutcome, ScriptSource } from './contract.ts'
import { hookModules } from './module-hooks.ts'
import { findForeign } from './result-data.ts'
import { describeThrown } from './thrown.ts'

/** The body of a function task, as it is called. */
export type TaskFunction = (inputs: unknown, job: FunctionJob) => unknown

/** Loads the script as it was at the start of its execution. Throws what the script throws. */
export async function loadFunctions(source: ScriptSource): Promise<FunctionTable> {
  const workDirectory = realpathSync(source.workDirectory)
  const workUrl = pathToFileURL(`${workDirectory}/`).href
  hookModules({ workUrl, snapshotUrl: pathToFileURL(`${realpathSync(source.modulesDirectory)}/`).href })
  const namespace = (await import(pathToFileURL(join(workDirectory, source.script)).href)) as {
    default: unknown
  }
  if (!(namespace.default instanceof Workflow)) throw new TypeError('It exports no workflow any more.')
  return compile(namespace.default, { script: source.script, directoryUrl: workUrl }).functions
}

/** Calls functions one after the other and tells what came of each, whatever they do but end the process. */
export class FunctionCaller {
  readonly #workUrl: string
  /** Ends the call that is being awaited. */
  #interrupt: ((error: unknown) => void) | undefined

  constructor(workUrl: string) {
    this.#workUrl = workUrl
  }

  /** An answer without a promise where there is one: waiting for it would cost as much as a small function. */
  call(run: TaskFunction, inputs: unknown, job: FunctionJob): FunctionOutcome | Promise<FunctionOutcome> {
    try {
      const result = run(inputs, job)
      return isThenable(result)
        ? this.#interruptible(result).then(
            (value) => this.#check(value),
            (error: unknown) => this.#describeFailure(error),
          )
        : this.#check(result)
    } catch (error) {
      return this.#describeFailure(error)
    }
  }

  /** An error that turned up outside of any call: it ends the call under way. False when there is none. */
  fault(error: unknown): boolean {
    this.#interrupt?.(error)
    return this.#interrupt !== undefined
  }

  #check(result: unknown): FunctionOutcome {
    try {
      const foreign = findForeign(result)
      if (foreign === undefined) return { kind: 'returned', result }
      const message = `The function returned something that is no data: ${foreign}.`
      return { kind: 'threw', message, stack: message }
    } catch (error) {
      return this.#describeFailure(error)
    }
  }

  #describeFailure(error: unknown): FunctionOutcome {
    const { message, stack } = describeThrown(error, this.#workUrl)
    return { kind: 'threw', message, stack }
  }

  async #interruptible(result: PromiseLike<unknown>): Promise<unknown> {
    const { promise, reject } = Promise.withResolvers<never>()
    this.#interrupt = reject
    try {
      return await Promise.race([result, promise])
    } finally {
      this.#interrupt = undefined
    }
  }
}

function isThenable(result: unknown): result is PromiseLike<unknown> {
  return (
    typeof result === 'object' && result !== null && 'then' in result && typeof result.then === 'function'
  )
}
