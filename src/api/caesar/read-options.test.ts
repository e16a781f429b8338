import { describe, expect, test } from 'vitest'
import type { PlanDescription, PlanInput } from '../../workflow/plan.ts'
import type { BaseType, Json } from '../../workflow/value.ts'
import { describeOptions } from './describe.ts'
import { readOptions } from './read-options.ts'

function inputOf(name: string, base: BaseType, more: Partial<PlanInput> = {}): PlanInput {
  const type = { base, dimensions: 0 }
  return {
    name,
    type,
    title: name,
    description: '',
    category: '',
    formats: [],
    isMandatory: false,
    isAdvanced: false,
    ...more,
  }
}

function appOf(...inputs: PlanInput[]): PlanDescription {
  return { title: 'App', description: '', category: '', inputs, outputs: [] }
}

const app = appOf(
  inputOf('image', 'file'),
  inputOf('must', 'integer', { isMandatory: true, default: 3 }),
  inputOf('level', 'number', { default: 0.5, minimum: 0, maximum: 1 }),
  inputOf('flag', 'boolean', { default: true }),
  inputOf('kind', 'string', { default: 'a', values: ['a', 'b'] }),
  inputOf('means', 'number', { type: { base: 'number', dimensions: 1 }, default: [1], minimum: 0 }),
  inputOf('fit', 'json', { default: { a: 1 } }),
)

function read(given: Readonly<Record<string, unknown>>) {
  return readOptions(app, { must: 1, ...given })
}

describe('options', () => {
  test('that are deeper than anybody means are refused, also as texts', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    expect(read({ means: deep })).toMatchObject({ kind: 'refused' })
    expect(read({ fit: deep })).toMatchObject({ kind: 'refused' })
  })

  test('of the right types are taken, or texts that say them', () => {
    expect(
      read({ level: ' 1e0 ', flag: 'false', kind: 'b', means: '[0, 2.5]', fit: '{"b":[null]}', must: '-7' }),
    ).toEqual({
      kind: 'options',
      values: { level: 1, flag: false, kind: 'b', means: [0, 2.5], fit: { b: [null] }, must: -7 },
      ignored: [],
    })
  })

  test('that are not given are left to the app, except for those that must be', () => {
    expect(read({})).toEqual({ kind: 'options', values: { must: 1 }, ignored: [] })
    expect(readOptions(app, {})).toEqual({ kind: 'refused', status: 'Mandatory option must not present!' })
  })

  test('that the app does not have are told, also those named like members of every object', () => {
    const given = JSON.parse(
      '{"must":1,"__proto__":{"level":9},"toString":1,"image":"/etc/passwd"}',
    ) as object
    expect(readOptions(app, { ...given })).toMatchObject({
      kind: 'options',
      values: { must: 1 },
      ignored: ['__proto__', 'toString', 'image'],
    })
  })

  test.each<[Record<string, Json>, string]>([
    [{ level: 1.01 }, 'Option level value 1.01 is out of range [0,1]!'],
    [{ level: 'NaN' }, "Failed to cast option level to type <class 'float'> !"],
    [{ level: 'Infinity' }, "Failed to cast option level to type <class 'float'> !"],
    [{ level: '1e999' }, "Failed to cast option level to type <class 'float'> !"],
    [{ level: [0.5] }, "Failed to cast option level to type <class 'float'> !"],
    [{ must: '1.5' }, "Failed to cast option must to type <class 'int'> !"],
    [{ must: 2 ** 60 }, "Failed to cast option must to type <class 'int'> !"],
    [{ flag: 0 }, 'Failed to parse bool option flag (parsed value type is not a boolean)!'],
    [{ kind: 'c' }, 'Option kind value c is not among valid enumerations!'],
    [{ kind: ['a'] }, "Failed to cast option kind to type <class 'str'> !"],
    [{ means: '1,2' }, "Failed to cast option means to type <class 'list'> !"],
    [{ means: [1, -1] }, 'Option means value -1 is out of range [0,]!'],
    [{ kind: 'x'.repeat(5000) }, `Option kind value ${'x'.repeat(100)}... is not among valid enumerations!`],
  ])('%j is refused', (given, status) => {
    expect(read(given)).toEqual({ kind: 'refused', status })
  })
})

test('every default that is described is taken again', () => {
  const defaults = Object.entries(describeOptions(app)).map(
    ([name, option]) => [name, option.default] as const,
  )
  const given = Object.fromEntries(defaults.filter(([, value]) => value !== undefined && value !== ''))
  expect(Object.keys(given)).toHaveLength(6)
  expect(readOptions(app, given)).toMatchObject({
    kind: 'options',
    values: { must: 3, level: 0.5, flag: true, kind: 'a', means: [1], fit: { a: 1 } },
  })
})
