import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PlanCommandTask, PlanOutput } from '../workflow/plan.ts'
import type { BaseType } from '../workflow/value.ts'
import { OutputError, readOutputs } from './command-outputs.ts'

describe('the outputs of a command', () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-outputs-'))
  })

  afterEach(async () => {
    await rm(directory, { recursive: true })
  })

  const output = (
    name: string,
    base: BaseType,
    reader: PlanOutput['reader'],
    dimensions = 0,
  ): PlanOutput => ({
    name,
    type: { base, dimensions },
    reader,
  })

  async function read(outputs: PlanOutput[], files: Record<string, string>, missing: string[] = []) {
    for (const [name, content] of Object.entries({ stdout: '', ...files }))
      await writeFile(join(directory, name), content)
    const task: PlanCommandTask = {
      kind: 'command',
      command: { kind: 'argv', words: [] },
      env: {},
      inputs: [],
      outputs,
    }
    const collected = {
      files: Object.keys(files),
      missing,
      stdout: join(directory, 'stdout'),
      stderr: join(directory, 'stderr'),
    }
    const keep = { directory, keepDirectory: join(directory, 'kept'), keepName: 'files/1' }
    return readOutputs(task, collected, keep)
  }

  it('are read from standard output, text files and JSON in their types', async () => {
    expect(
      await read(
        [
          output('n', 'number', { kind: 'read-stdout' }),
          output('words', 'integer', { kind: 'read-text', path: 'count' }),
          output('ok', 'boolean', { kind: 'read-text', path: 'ok' }),
          output('title', 'string', { kind: 'read-text', path: 'title' }),
          output('rates', 'number', { kind: 'read-json', path: 'fit.json', key: 'rates' }, 1),
          output('fit', 'json', { kind: 'read-json', path: 'fit.json', key: null }),
        ],
        { stdout: ' 1e-3\n', count: '42\n', ok: 'true', title: ' a b \n', 'fit.json': '{"rates":[1,2.5]}' },
      ),
    ).toEqual({ n: 0.001, words: 42, ok: true, title: 'a b', rates: [1, 2.5], fit: { rates: [1, 2.5] } })
  })

  it('may be NaN or infinite, as programs print them', async () => {
    const readNumber = async (stdout: string) =>
      (await read([output('n', 'number', { kind: 'read-stdout' })], { stdout }))['n']
    expect(await readNumber('nan')).toBeNaN()
    expect(await readNumber('-inf\n')).toBe(-Infinity)
    expect(await readNumber('Infinity')).toBe(Infinity)
  })

  it('keep a file, which other outputs may read first', async () => {
    const outputs = [
      output('kept', 'file', { kind: 'keep-file', path: 'a.txt' }),
      output('text', 'string', { kind: 'read-text', path: 'a.txt' }),
    ]
    expect(await read(outputs, { 'a.txt': 'content' })).toEqual({ kept: 'files/1/a.txt', text: 'content' })
    expect(await readFile(join(directory, 'kept', 'a.txt'), 'utf8')).toBe('content')
  })

  it('are refused with what was expected and what came', async () => {
    const number = output('n', 'number', { kind: 'read-stdout' })
    await expect(read([number], { stdout: 'many' })).rejects.toThrow(
      'n is read from standard output: expected a number, got "many".',
    )
    await expect(read([number], { stdout: '' })).rejects.toThrow('got nothing')
    await expect(read([output('n', 'integer', { kind: 'read-stdout' })], { stdout: '1.5' })).rejects.toThrow(
      'expected a whole number, got 1.5',
    )
    const json = output('j', 'json', { kind: 'read-json', path: 'j.json', key: 'x' })
    await expect(read([json], { 'j.json': '{"y":1}' })).rejects.toThrow('no property "x"')
    await expect(read([json], { 'j.json': '{' })).rejects.toThrow('j.json holds no JSON')
    await expect(read([number], {}, ['out.txt'])).rejects.toThrow(OutputError)
  })
})
