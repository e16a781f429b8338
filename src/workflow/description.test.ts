import { describe, expect, test } from 'vitest'
import { compile } from './compile.ts'
import { input, output, type DescribedInput, type InputOptions } from './description.ts'
import { readInputs } from './given-inputs.ts'
import type { Plan, PlanDescription } from './plan.ts'
import { planSchema } from './plan-schema.ts'
import { file, integer, number, string, type Value } from './value.ts'
import { functionTask } from './workflow.ts'
import { WorkflowError } from './workflow-error.ts'

const n = integer('n')
const x = number('x')
const mode = string('mode')
const image = file('image')

const planOf = (...inputs: readonly DescribedInput[]): Plan =>
  compile(
    functionTask('f', { inputs: inputs.map(({ value }) => value), run: () => ({}) }).describe({
      title: 'A workflow',
      inputs,
      outputs: [output('*.csv', { role: 'table' })],
    }),
    { script: 'w.ts', directoryUrl: 'file:///w/' },
  ).plan
const descriptionOf = (...inputs: readonly DescribedInput[]): PlanDescription => {
  const { description } = planOf(...inputs)
  if (description === undefined) throw new Error('no description')
  return description
}
const problemsOf = (value: Value, options: InputOptions): string => {
  try {
    planOf(input(value, options))
    return ''
  } catch (error) {
    if (!(error instanceof WorkflowError)) throw error
    return error.problems.map(({ message }) => message).join('\n')
  }
}

describe('a described workflow', () => {
  test('takes its inputs from whoever starts it, and is still a plan', () => {
    const plan = planOf(input(n, { default: 3, minimum: 1, maximum: 9 }), input(image, { formats: ['fits'] }))
    expect(planSchema.parse(plan)).toEqual(plan)
    expect(plan.description).toMatchObject({
      title: 'A workflow',
      inputs: [
        { name: 'n', isMandatory: false, default: 3, minimum: 1, maximum: 9 },
        { name: 'image', isMandatory: true, formats: ['fits'] },
      ],
      outputs: [{ path: '*.csv', role: 'table' }],
    })
  })

  test.each<[string, Value, InputOptions, string]>([
    ['a default out of range', n, { default: 0, minimum: 1 }, 'n: expected at least 1, got 0.'],
    ['a default of another type', n, { default: 'three' }, 'expected a whole number'],
    ['bounds that exclude all', x, { minimum: 2, maximum: 1 }, 'minimum ≤ maximum'],
    ['bounds of a text', mode, { minimum: 2 }, 'minimum and maximum are for numbers'],
    ['a listed value of another type', mode, { values: ['a', 1] }, 'a value that it cannot have'],
    ['formats of a number', x, { formats: ['fits'] }, 'formats are for files'],
  ])('is refused with %s', (_, value, options, message) => {
    expect(problemsOf(value, options)).toContain(message)
  })

  test('is refused with the same input twice, and with outputs outside of the work directory', () => {
    expect(() => planOf(input(n), input(n))).toThrow(/described twice/)
    const outside = functionTask('f', { run: () => ({}) }).describe({ title: 't', outputs: [output('../x')] })
    expect(() => compile(outside, { script: 'w.ts', directoryUrl: 'file:///w/' })).toThrow(/no path inside/)
  })

  test('takes what it advertises, with defaults for the rest', () => {
    const description = descriptionOf(
      input(n, { default: 3, maximum: 9 }),
      input(mode, { values: ['fast', 'exact'] }),
      input(x.array, { default: [1, 2], minimum: 0 }),
    )
    expect(readInputs(description, { mode: 'fast', n: 4 })).toEqual({
      kind: 'inputs',
      inputs: { n: 4, mode: 'fast', x: [1, 2] },
    })
  })

  test('refuses everything else, and says all of it', () => {
    const description = descriptionOf(
      input(n, { default: 3, maximum: 9 }),
      input(mode, { values: ['fast', 'exact'] }),
      input(x.array, { default: [1], minimum: 0 }),
      input(image, { formats: ['fits', 'png'] }),
      input(integer('m'), { default: 1, mandatory: true }),
    )
    const given = JSON.parse(
      '{"n":10,"mode":"slow","x":[1,-1],"image":"a.txt","k":1,"__proto__":{}}',
    ) as object
    expect(readInputs(description, { ...given })).toEqual({
      kind: 'problems',
      problems: [
        'n: expected at most 9, got 10.',
        'mode: expected one of "fast", "exact", got "slow".',
        'x: expected at least 0, got -1.',
        'image: expected a file that ends in .fits, .png, got "a.txt".',
        'm: it must be given.',
        'k: there is no such input; there are n, mode, x, image, m.',
        '__proto__: there is no such input; there are n, mode, x, image, m.',
      ],
    })
  })

  test('are told with the first of many names that are no inputs', () => {
    const given = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`${index}`.repeat(300), 1]))
    const read = readInputs(descriptionOf(input(n, { default: 3 })), given)
    if (read.kind !== 'problems') throw new Error('They are taken.')
    expect(read.problems).toHaveLength(21)
    expect(read.problems.join('').length).toBeLessThan(5000)
    expect(read.problems.at(-1)).toBe('There are 4980 more such names.')
  })
})
