import { segmentsOf } from '../view.ts'
import type { OutputFile } from '../environment.ts'

/** What the file `outputs` in a job directory says: what was declared, and where the view leads to. */
export interface DeclaredOutputs {
  /** Without symbolic links in its path: an output may also come from here. */
  readonly tree: string
  readonly outputs: readonly DeclaredOutput[]
}

export interface DeclaredOutput extends OutputFile {
  /** The path without empty and `.` steps. */
  readonly plain: string
}

/** Fields that each end with NUL, since a name may hold anything else: the tree, then three for each output. */
export function outputsText(tree: string, outputs: readonly OutputFile[]): string {
  const fields = outputs.flatMap(({ path, optional }) => [
    (segmentsOf(path) ?? []).join('/'),
    path,
    optional === true ? 'optional' : 'required',
  ])
  return [tree, ...fields].map((field) => `${field}\0`).join('')
}

export function readOutputs(text: string): DeclaredOutputs {
  const [tree = '', ...fields] = text.split('\0')
  const outputs: DeclaredOutput[] = []
  for (let at = 0; at + 2 < fields.length; at += 3) {
    const [plain = '', path = '', need] = fields.slice(at, at + 3)
    outputs.push({ plain, path, optional: need === 'optional' })
  }
  return { tree, outputs }
}
