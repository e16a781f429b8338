import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import type { SourceLocation } from '../workflow/location.ts'

/** What user code threw, as text of bounded length. */
export interface Thrown {
  /** `Error: no such thing`, or a sentence where it was none. Paths of the work directory are relative to it. */
  readonly message: string
  /** The frames of user code, with paths relative to the work directory. */
  readonly stack: string
  /** The innermost place in the work directory, where known. */
  readonly location: SourceLocation | null
}

const lengthAtMost = 8 * 1024
const ownFolder = new URL('../', import.meta.url).href
const foreignFrame = /[( ]node:|\/node_modules\/piscina\/|^\s+at (?:async )?(?:new )?Promise\b/

/**
 * Tells what was thrown, whatever it is: an error, a string, nothing, an object that throws when asked for its text.
 * @param workUrl URL of the work directory, ending in `/`
 */
export function describeThrown(thrown: unknown, workUrl: string): Thrown {
  const { message, stack } = readError(thrown)
  const frames = userFrames(stack, workUrl)
  const place = syntaxPlace(stack, workUrl) ?? framePlace(frames)
  return {
    message: bounded(withoutDirectory(message, workUrl)),
    stack: bounded([relativeText(heading(stack, message), workUrl), ...frames].join('\n')),
    location: place ?? null,
  }
}

/** What Node printed of an error that nobody caught, as far as it concerns the work directory. */
export function printedError(text: string, workUrl: string): string {
  const stack = text.trimEnd().replace(/\n+Node\.js v[\d.]+$/, '')
  return bounded([relativeText(heading(stack, ''), workUrl), ...userFrames(stack, workUrl)].join('\n'))
}

/** Text in which places of the work directory are named relative to it. */
export function relativeText(text: string, workUrl: string): string {
  return text.replaceAll(workUrl, '').replaceAll(fileURLToPath(workUrl), '')
}

/** The same, and the directory itself is a dot. Where the server keeps its files is nobody's business. */
function withoutDirectory(text: string, workUrl: string): string {
  return relativeText(text, workUrl).replaceAll(fileURLToPath(workUrl).slice(0, -1), '.')
}

/** The place that Node prints above the message of a syntax error: `<url>:<line>`, the line itself, a caret. */
export function syntaxPlace(text: string, workUrl: string): SourceLocation | undefined {
  const matches = [...text.matchAll(/^(\S.*):(\d+)\n(?:.*\n){1,4}?([ \t]*)\^+$/gm)]
  const [, file, line, indent] = matches.at(-1) ?? []
  if (file === undefined || line === undefined || indent === undefined) return undefined
  const path = relativeText(file, workUrl)
  return path === file ? undefined : { file: decodePath(path), line: Number(line), column: indent.length + 1 }
}

function readError(thrown: unknown): { message: string; stack: string } {
  try {
    if (!(thrown instanceof Error))
      return { message: `${describeOther(thrown)} was thrown; expected an Error.`, stack: '' }
    // Anything may have been put in the place of these.
    const { name, message, stack }: Record<'name' | 'message' | 'stack', unknown> = pick(thrown)
    const text = message === '' ? String(name) : `${String(name)}: ${String(message)}`
    return { message: text, stack: typeof stack === 'string' ? stack : '' }
  } catch {
    return { message: 'Something that cannot be shown as text was thrown; expected an Error.', stack: '' }
  }
}

function pick({ name, message, stack }: Error): Record<'name' | 'message' | 'stack', unknown> {
  return { name, message, stack }
}

function describeOther(thrown: unknown): string {
  return inspect(thrown, { depth: 1, breakLength: Infinity, maxStringLength: lengthAtMost })
}

/** What stands above the frames: the message, and of syntax errors the line as well. */
function heading(stack: string, message: string): string {
  const above = stack.split(/\n\s+at /, 1)[0] ?? ''
  return above.includes(message) ? above : message
}

function userFrames(stack: string, workUrl: string): string[] {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .filter((line) => !foreignFrame.test(line) && !line.includes(ownFolder))
    .map((line) => relativeText(line, workUrl))
}

function framePlace(frames: readonly string[]): SourceLocation | undefined {
  for (const frame of frames) {
    const [, file, line, column] = /(?:\(|at (?:async )?)([^()]+):(\d+):(\d+)\)?$/.exec(frame) ?? []
    if (file === undefined || file.startsWith('node:') || file.startsWith('/') || file.startsWith('file:'))
      continue
    return { file: decodePath(file), line: Number(line), column: Number(column) }
  }
  return undefined
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function bounded(text: string): string {
  return text.length <= lengthAtMost ? text : `${text.slice(0, lengthAtMost)} …`
}
