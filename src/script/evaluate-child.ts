/** Runs a script, compiles what it exports and says so on descriptor 3. Arguments: work directory, script. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { compile } from '../workflow/compile.ts'
import { encodeJson } from '../workflow/context.ts'
import type { Json } from '../workflow/value.ts'
import { Workflow } from '../workflow/workflow.ts'
import { WorkflowError } from '../workflow/workflow-error.ts'
import { writeAll, writeDirectly } from './direct-output.ts'
import type { EvaluationMessage } from './evaluation-message.ts'
import { hookModules, ImportError } from './module-hooks.ts'
import { describeThrown } from './thrown.ts'

const [, , workDirectory = '', script = ''] = process.argv
const workUrl = pathToFileURL(`${workDirectory}/`).href
const modules: string[] = []
let hasAnswered = false

writeDirectly({ stdout: 1, stderr: 2 })
// The server keeps the other end open as long as it lives.
process.stdin.on('end', () => process.exit()).resume()
process.stdin.unref()
process.on('uncaughtException', (error) => answerThrown(error))
process.on('exit', (code) => {
  answer({ kind: 'exited', code, location: describeThrown(new Error('exit'), workUrl).location })
})

hookModules({ workUrl, onModule: (path) => modules.push(path) })

try {
  const namespace: unknown = await import(pathToFileURL(join(workDirectory, script)).href)
  // Promises that were rejected and that nobody awaits are told of now.
  await new Promise((resolve) => setImmediate(resolve))
  answer(read(namespace))
} catch (error) {
  answerThrown(error)
}

function read(namespace: unknown): EvaluationMessage {
  const workflow = (namespace as { default?: unknown }).default
  if (!(workflow instanceof Workflow)) return { kind: 'stranger', found: describeExport(workflow, namespace) }
  const { plan } = compile(workflow, { script, directoryUrl: workUrl })
  return { kind: 'plan', plan, modules: [...new Set(modules)] }
}

function describeExport(found: unknown, namespace: unknown): string {
  if (found === undefined) {
    const others = Object.keys(namespace as object).filter((name) => name !== 'module.exports')
    return others.length === 0
      ? 'exports nothing'
      : `exports nothing by default, only ${others.slice(0, 10).join(', ')}`
  }
  if (found === null) return 'exports null'
  if (typeof found === 'function') return 'exports a function'
  if (found instanceof Promise) return 'exports a promise; await it first'
  if (Array.isArray(found)) return 'exports an array'
  return typeof found === 'object' ? 'exports an object of another kind' : `exports a ${typeof found}`
}

function answerThrown(error: unknown): void {
  if (error instanceof WorkflowError) {
    const problems = error.problems.map(({ message, location }) => ({ message, location }))
    answer({ kind: 'problems', problems, stack: describeThrown(error, workUrl).stack })
    process.exit()
  }
  const thrown = describeThrown(error, workUrl)
  if (error instanceof ImportError) {
    const stack = `${thrown.message}\n${thrown.stack}`
    answer({ kind: 'threw', message: error.message, stack, location: error.location, isPrinted: false })
    process.exit()
  }
  const isPrinted = error instanceof SyntaxError && thrown.location === null
  answer({ kind: 'threw', ...thrown, isPrinted })
  if (!isPrinted) process.exit()
  // Of a syntax error in JavaScript, Node knows the place but tells it only when nobody catches the error.
  process.removeAllListeners('uncaughtException')
  setImmediate(() => {
    throw error
  })
}

function answer(message: EvaluationMessage): void {
  if (hasAnswered) return
  hasAnswered = true
  writeAll(3, Buffer.from(encodeJson(message as Json)))
  if (message.kind === 'plan' || message.kind === 'stranger') process.exit()
}
