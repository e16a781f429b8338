import { createReadStream } from 'node:fs'
import { basename, resolve } from 'node:path'
import { Problem } from '../problem.ts'
import type { FormFile } from './remote/multipart.ts'
import { kindOf } from './work-directory.ts'

/** What `--input` has said. */
export interface GivenInputs {
  /** By name; what is JSON is taken as such. */
  readonly values: Readonly<Record<string, unknown>>
  /** Files to send, by the name of their input. */
  readonly files: readonly { readonly name: string; readonly path: string }[]
}

export const inputOption = '--input <name=value>'
export const inputsHelp =
  '\nA value that is JSON is taken as such: size=8 is a number, label=\'"8"\' a text, sizes=[1,2] an array.'

export function collectInputs(text: string, before: readonly string[]): readonly string[] {
  return [...before, text]
}

/**
 * Reads `name=value` and `name=@file`, which may come several times for an array of files. Throws Problem
 * parameter-invalid, and file-missing for a file that is not there.
 */
export async function readInputs(texts: readonly string[], currentDirectory: string): Promise<GivenInputs> {
  const values: Record<string, unknown> = {}
  const files: { name: string; path: string }[] = []
  for (const text of texts) {
    const at = text.indexOf('=')
    if (at < 1)
      throw new Problem(
        'parameter-invalid',
        `Expected a name, = and a value, as in --input size=8; got ${JSON.stringify(text)}.`,
      )
    const [name, value] = [text.slice(0, at), text.slice(at + 1)]
    if (value.startsWith('@')) {
      files.push({ name, path: await findFile(resolve(currentDirectory, value.slice(1))) })
      continue
    }
    if (Object.hasOwn(values, name))
      throw new Problem('parameter-invalid', `The input ${name} is given twice.`, {
        hint: `For an array give all at once: --input '${name}=["a","b"]'`,
      })
    Object.defineProperty(values, name, { value: readValue(value), enumerable: true })
  }
  return { values, files }
}

/** Parts of a form for the files of inputs. */
export function inputParts({ files }: GivenInputs): readonly FormFile[] {
  return files.map(({ name, path }) => ({
    field: `input.${name}`,
    name: basename(path),
    contentType: 'application/octet-stream',
    content: readFile(path),
  }))
}

/** Opened only when it is its turn. */
async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function findFile(path: string): Promise<string> {
  if ((await kindOf(path)) === 'file') return path
  throw new Problem('file-missing', `There is no file ${path}.`, {
    hint: 'Behind --input NAME=@ stands the path of a file on this computer.',
  })
}
