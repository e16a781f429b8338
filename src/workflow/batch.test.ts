import { describe, expect, it } from 'vitest'
import { batch } from './batch.ts'
import { compile } from './compile.ts'
import { input, output } from './description.ts'
import { copyFile, csv } from './hook.ts'
import { keepFile } from './task.ts'
import { shell, text } from './template.ts'
import { file, integer, string } from './value.ts'
import { commandTask } from './workflow.ts'

const origin = { script: 'batch.ts', directoryUrl: 'file:///work/' }
const word = string('word')
const times = integer('times', { default: 1 })
const book = file('book')
const table = file('table')
const count = commandTask('count', {
  command: shell`grep -c ${word} ${book} > out; echo ${times}`,
  outputs: [keepFile(table, 'out')],
})
  .hook(copyFile(table, 'out.txt'), copyFile(table, text`${word}/out`), csv('all.csv', { values: [word] }))
  .timeoutMs(5000)
const app = count.describe({
  title: 'Count',
  inputs: [input(word), input(times, { minimum: 1 }), input(book)],
  outputs: [output('out.txt')],
})

describe('a batch', () => {
  const { plan } = compile(batch(app, { timeoutMs: 2000 }), origin)

  it('has one job an element of the inputs', () => {
    expect(plan.steps.map((step) => step.kind)).toEqual(['explore', 'capsule'])
    expect(plan.steps[0]).toMatchObject({
      sampling: {
        kind: 'index',
        value: 'batchJob',
        sampling: {
          kind: 'zip',
          samplings: ['word', 'times', 'book'].map((value) => ({ kind: 'elements', value, of: value })),
        },
      },
    })
    expect(plan.description?.inputs).toMatchObject([
      { name: 'word', type: { base: 'string', dimensions: 1 }, isMandatory: true },
      { name: 'times', type: { base: 'integer', dimensions: 1 }, isMandatory: true, minimum: 1 },
      { name: 'book', type: { base: 'file', dimensions: 1 }, isMandatory: true },
    ])
  })

  it('keeps what each job leaves in a directory of its own, and lets jobs fail by themselves', () => {
    expect(plan.steps[1]).toMatchObject({
      tolerance: 1,
      timeoutMs: 2000,
      hooks: [
        { to: { texts: ['jobs/', '/out.txt'], values: ['batchJob'] } },
        { to: { texts: ['jobs/', '/', '/out'], values: ['batchJob', 'word'] } },
        { kind: 'csv', path: 'all.csv' },
      ],
    })
    expect(plan.description?.outputs).toMatchObject([{ path: 'jobs/*/out.txt' }])
  })

  it('is made of nothing but one described capsule', () => {
    expect(() => batch(count)).toThrow('describes itself')
    expect(() => batch(count.next(count.named('again')).describe({ title: 'Two' }))).toThrow('one capsule')
    expect(() => batch(count.describe({ title: 'None' }))).toThrow('one or more inputs')
  })
})
