import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inputParts, readInputs } from './inputs.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-inputs-'))
  await writeFile(join(directory, 'm51.fits'), 'pixels')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

test('what is JSON is taken as such, and the rest is text', async () => {
  const texts = [
    'size=8',
    'label=plain = text',
    'quoted="8"',
    'sizes=[1,2]',
    'flag=true',
    'empty=',
    '__proto__=1',
  ]
  const { values } = await readInputs(texts, directory)
  expect(Object.entries(values)).toEqual([
    ['size', 8],
    ['label', 'plain = text'],
    ['quoted', '8'],
    ['sizes', [1, 2]],
    ['flag', true],
    ['empty', ''],
    ['__proto__', 1],
  ])
})

test('what begins with @ is a file to send, also several times', async () => {
  const inputs = await readInputs(['image=@m51.fits', 'image=@./m51.fits'], directory)
  const [first, second] = inputParts(inputs)
  expect(first).toMatchObject({ field: 'input.image', name: 'm51.fits' })
  for (const part of [first, second]) {
    let content = ''
    for await (const chunk of part?.content ?? []) content += Buffer.from(chunk).toString()
    expect(content).toBe('pixels')
  }
})

test.each([
  ['size', /^Expected a name, = and a value.*got "size"/],
  ['=8', /^Expected a name, = and a value/],
  ['image=@nowhere.fits', /^There is no file .*nowhere\.fits/],
  ['image=@.', /^There is no file/],
])('%s is refused', async (text, message) => {
  await expect(readInputs([text], directory)).rejects.toThrow(message)
})

test('a value that is given twice is refused', async () => {
  await expect(readInputs(['size=1', 'size=2'], directory)).rejects.toThrow('The input size is given twice.')
})
