import type { ShellCommand, Template } from './template.ts'
import type { ContextOf, Value } from './value.ts'

/** What is computed. */
export type Task = FunctionTask | CommandTask

export interface FunctionTask {
  readonly kind: 'function'
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly run: (inputs: never, job: FunctionJob) => unknown
}

/** What a task function may know of its job besides its inputs. */
export interface FunctionJob {
  /** An empty directory of the job's own, made when first asked for. Files to be returned are written here. */
  readonly directory: string
}

export interface CommandTask {
  readonly kind: 'command'
  readonly command: ShellCommand | readonly Argument[]
  readonly env: Readonly<Record<string, Argument>>
  readonly inputs: readonly (Value | InputFile)[]
  readonly outputs: readonly OutputReader[]
}

/** One word of a command line: fixed text, a value, or text with values in it. */
export type Argument = string | Value | Template

/** A file value that a command finds under a path of its choice. */
export interface InputFile {
  readonly kind: 'input-file'
  readonly value: Value<string, string>
  readonly path: string
}

/** How an output of a command is found when it has ended. */
export type OutputReader =
  | { readonly kind: 'read-stdout'; readonly value: Value }
  | { readonly kind: 'read-text'; readonly value: Value; readonly path: string }
  | {
      readonly kind: 'read-json'
      readonly value: Value
      readonly path: string | undefined
      readonly key: string | undefined
    }
  | { readonly kind: 'keep-file'; readonly value: Value<string, string>; readonly path: string }

/** Puts the file that `value` holds at `path` of the job directory, instead of under its own name. */
export function placeFile(value: Value<string, string>, path: string): InputFile {
  return { kind: 'input-file', value, path }
}

/** Takes what the command printed, without white space around it, as `value`. */
export function readStdout(value: Value): OutputReader {
  return { kind: 'read-stdout', value }
}

/** Takes the text of the file at `path` of the job directory, without white space around it, as `value`. */
export function readText(value: Value, path: string): OutputReader {
  return { kind: 'read-text', value, path }
}

/**
 * Takes JSON as `value`: from the file at `path`, or from what the command printed where no path is given. `key`
 * names one property of it.
 */
export function readJson(value: Value, from: { path?: string; key?: string } = {}): OutputReader {
  return { kind: 'read-json', value, path: from.path, key: from.key }
}

/** Keeps the file at `path` of the job directory; `value` holds it from here on. */
export function keepFile(value: Value<string, string>, path: string): OutputReader {
  return { kind: 'keep-file', value, path }
}

/** What `functionTask` takes. Its function may be async; what it returns holds every output and nothing else. */
export interface FunctionTaskDefinition<Inputs extends readonly Value[], Outputs extends readonly Value[]> {
  readonly inputs?: Inputs
  readonly outputs?: Outputs
  readonly run: (
    inputs: ContextOf<Inputs>,
    job: FunctionJob,
  ) => ContextOf<Outputs> | Promise<ContextOf<Outputs>>
}

/** What `commandTask` takes. */
export interface CommandTaskDefinition {
  /** A shell command line, or a program and its arguments, which no shell reads. */
  readonly command: ShellCommand | readonly Argument[]
  /** Environment variables added for this command. */
  readonly env?: Readonly<Record<string, Argument>>
  /** Values the command line uses need not be named here; files that must be in the job directory must. */
  readonly inputs?: readonly (Value | InputFile)[]
  readonly outputs?: readonly OutputReader[]
}
