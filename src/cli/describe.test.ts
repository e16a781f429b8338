import { expect, test } from 'vitest'
import { describeWorkflow } from './describe.ts'
import { workflowAnswer } from './remote/answers.ts'

test('a description is a title, a table of inputs and one of outputs, each on its line', () => {
  const answer = workflowAnswer.parse({
    name: 'measure',
    title: 'Measure\u001b[31m',
    description: 'Counts\nall.',
    inputs: [
      { name: 'image', type: 'file', title: 'Picture', mandatory: true, formats: ['fits', 'fit'] },
      { name: 'size', type: 'integer', title: 'size', default: 2, minimum: 1, maximum: 9 },
      { name: 'label', type: 'string', default: '8', values: ['8', 'b c'], description: 'A text.' },
    ],
    outputs: [{ path: 'a.csv', title: 'Table', role: 'table' }],
  })
  expect(describeWorkflow(answer)).toBe(`measure: Measure?[31m
Counts all.

input  type     default          bounds      values     what
image  file     (must be given)  .fits .fit             Picture
size   integer  2                1 to 9
label  string   "8"                          "8" | b c  A text.

output  role   what
a.csv   table  Table
`)
  expect(describeWorkflow({ ...answer, inputs: [], outputs: [] })).toContain('It takes no inputs.')
})
