import type { JobRequest, OutputFile } from '../environment.ts'
import { segmentsOf } from '../view.ts'
import { commandText } from './job-script.ts'

/*
 * The file `command` of a job holds all that is written down about it, since every further file costs a trip to a file
 * server: a comment with its note, the shell text that becomes its program, and after a NUL what was declared. Bash
 * never comes so far as to read that: the text before ends with `exec`.
 */

/** What was declared, and where the view of the job leads to. */
export interface DeclaredOutputs {
  readonly note: string
  /** Without symbolic links in its path: an output may also come from here. */
  readonly tree: string
  readonly outputs: readonly DeclaredOutput[]
}

export interface DeclaredOutput extends OutputFile {
  /** The path without empty and `.` steps. */
  readonly plain: string
}

/** Fields that each end with NUL, since a name may hold anything else: the text, the tree, then three for each output. */
export function commandFile(
  request: JobRequest,
  note: string,
  tree: string,
  prologue: readonly string[],
): string {
  const outputs = request.outputs.flatMap(({ path, optional }) => [
    (segmentsOf(path) ?? []).join('/'),
    path,
    optional === true ? 'optional' : 'required',
  ])
  const text = `# ${note}\n${commandText(request, prologue)}`
  return [text, tree, ...outputs].map((field) => `${field}\0`).join('')
}

export function readCommandFile(content: string): DeclaredOutputs {
  const [text = '', tree = '', ...fields] = content.split('\0')
  const outputs: DeclaredOutput[] = []
  for (let at = 0; at + 2 < fields.length; at += 3) {
    const [plain = '', path = '', need] = fields.slice(at, at + 3)
    outputs.push({ plain, path, optional: need === 'optional' })
  }
  return { note: readNoteLine(text), tree, outputs }
}

/** The note in the first line of the file; '' where there is none. */
export function readNoteLine(text: string): string {
  return /^# (.*)\n/.exec(text)?.[1] ?? ''
}
