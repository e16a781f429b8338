import { readFile, rename, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { CollectedFiles } from '../environment/environment.ts'
import { handOverFor } from '../files/hand-over.ts'
import { openWay } from '../files/open-way.ts'
import { mismatch, type Context } from '../workflow/context.ts'
import type { PlanCommandTask, PlanOutput } from '../workflow/plan.ts'
import type { Json, ValueType } from '../workflow/value.ts'

/** An output that a command did not leave as its task declares it. */
export class OutputError extends Error {
  override readonly name = 'OutputError'
}

const readableBytes = 64 * 2 ** 20

/**
 * The outputs of a command that has exited with 0. Files that are kept move to `keepDirectory`.
 * @param directory where the environment has collected the declared outputs
 * @param keepName how `keepDirectory` begins as a file value: `files/<job>`
 * Throws OutputError naming the output, what was expected and what was found.
 */
export async function readOutputs(
  task: PlanCommandTask,
  collected: CollectedFiles,
  { directory, keepDirectory, keepName }: { directory: string; keepDirectory: string; keepName: string },
): Promise<Context> {
  const missing = collected.missing[0]
  if (missing !== undefined) throw new OutputError(`The command ended well but did not make ${missing}.`)
  const context: Record<string, Json> = {}
  // One file may feed several values; a kept one is moved away, so all reading comes first.
  const reading = task.outputs.filter(({ reader }) => reader.kind !== 'keep-file')
  for (const output of [...reading, ...task.outputs.filter(({ reader }) => reader.kind === 'keep-file')])
    context[output.name] = await readOutput(output, collected.stdout, directory, keepDirectory, keepName)
  return context
}

async function readOutput(
  output: PlanOutput,
  stdout: string,
  directory: string,
  keepDirectory: string,
  keepName: string,
): Promise<Json> {
  const { name, type, reader } = output
  switch (reader.kind) {
    case 'read-stdout':
      return parseText(await readBounded(stdout, 'standard output'), output, 'standard output')
    case 'read-text':
      return parseText(await readBounded(join(directory, reader.path), reader.path), output, reader.path)
    case 'read-json': {
      const source = reader.path ?? 'standard output'
      const text = await readBounded(reader.path === null ? stdout : join(directory, reader.path), source)
      return checked(pickKey(parseJson(text, source), reader.key, source), name, type, source)
    }
    case 'keep-file': {
      await keepFile(join(directory, reader.path), keepDirectory, reader.path)
      return `${keepName}/${reader.path}`
    }
  }
}

/** Moves what was collected to where functions can write too: a link that one of them has put there is not followed. */
async function keepFile(collected: string, keepDirectory: string, path: string): Promise<void> {
  const above = dirname(path)
  const names = [basename(keepDirectory), ...(above === '.' ? [] : above.split('/'))]
  const way = await openWay(dirname(keepDirectory), names)
  try {
    await handOverFor(collected, way.handle)
    await rename(collected, join(way.path, basename(path)))
  } finally {
    await way.handle.close()
  }
}

async function readBounded(path: string, what: string): Promise<string> {
  const { size } = await stat(path)
  if (size > readableBytes)
    throw new OutputError(
      `${what} has ${size} bytes; a value is read from at most ${readableBytes}. Keep it as a file.`,
    )
  return readFile(path, 'utf8')
}

function parseText(text: string, { name, type }: PlanOutput, source: string): Json {
  const trimmed = text.trim()
  if (type.dimensions > 0 || type.base === 'json')
    return checked(parseJson(trimmed, source), name, type, source)
  switch (type.base) {
    case 'number':
    case 'integer': {
      const value = /^[+-]?(inf|infinity)$/i.test(trimmed)
        ? Number(trimmed.replace(/inf.*/i, 'Infinity'))
        : Number(trimmed)
      if (trimmed === '' || (Number.isNaN(value) && !/^[+-]?nan$/i.test(trimmed)))
        throw new OutputError(`${name} is read from ${source}: expected a number, got ${excerpt(trimmed)}.`)
      return checked(value, name, type, source)
    }
    case 'boolean':
      if (trimmed !== 'true' && trimmed !== 'false')
        throw new OutputError(
          `${name} is read from ${source}: expected true or false, got ${excerpt(trimmed)}.`,
        )
      return trimmed === 'true'
    case 'string':
    case 'file':
      return trimmed
  }
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new OutputError(`${source} holds no JSON: ${excerpt(text)}.`)
  }
}

function pickKey(value: unknown, key: string | null, source: string): unknown {
  if (key === null) return value
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, key))
    return (value as Record<string, unknown>)[key]
  throw new OutputError(`The JSON in ${source} has no property ${JSON.stringify(key)}.`)
}

function checked(value: unknown, name: string, type: ValueType, source: string): Json {
  const found = mismatch(value, type)
  if (found !== undefined) throw new OutputError(`${name} is read from ${source}: expected ${found}.`)
  return value as Json
}

function excerpt(text: string): string {
  return text === '' ? 'nothing' : JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
