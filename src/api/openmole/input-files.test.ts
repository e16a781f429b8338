import { mkdtemp, readdir, readFile, rm, writeFile, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PlanDescription, PlanInput } from '../../workflow/plan.ts'
import type { ReceivedFile } from '../route.ts'
import { assignFiles } from './input-files.ts'

let work: string
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'molehill-input-files-'))
})
afterEach(() => rm(work, { recursive: true, force: true }))

const input = (name: string, base: 'file' | 'string', dimensions = 0): PlanInput => ({
  name,
  type: { base, dimensions },
  title: name,
  description: '',
  category: '',
  isMandatory: true,
  isAdvanced: false,
  formats: [],
})
const description: PlanDescription = {
  title: '',
  description: '',
  category: '',
  inputs: [input('image', 'file'), input('frames', 'file', 1), input('label', 'string')],
  outputs: [],
}
const file = (field: string, fileName: string): ReceivedFile => ({
  field,
  fileName,
  digest: '',
  sizeBytes: 0,
  place: (path) => writeFile(path, fileName, { flag: 'wx' }),
})

test('files become paths in the work directory, those of one name apart', async () => {
  const files = [
    file('image', 'a b.txt'),
    file('frames', '1/x.txt'),
    file('frames', '2/x.txt'),
    file('frames', 'x-2.txt'),
  ]
  const assigned = assignFiles(files, description, { label: 'x' })
  expect(assigned.inputs).toEqual({
    image: 'inputs/image/a_b.txt',
    frames: ['inputs/frames/x.txt', 'inputs/frames/x-2.txt', 'inputs/frames/x-2-2.txt'],
  })
  await assigned.place(work)
  expect(await readFile(join(work, 'inputs/frames/x-2.txt'), 'utf8')).toBe('2/x.txt')
  expect((await readdir(join(work, 'inputs/frames'))).sort()).toEqual(['x-2-2.txt', 'x-2.txt', 'x.txt'])
})

test('one file for an array is an array of one, and no file makes no folder', async () => {
  expect(assignFiles([file('frames', 'x')], description, {}).inputs).toEqual({ frames: ['inputs/frames/x'] })
  const assigned = assignFiles([], description, {})
  await assigned.place(work)
  expect([assigned.inputs, await readdir(work)]).toEqual([{}, []])
})

test('all that is wrong is told at once', () => {
  const files = [file('image', 'a'), file('image', 'b'), file('label', 'c'), file('frames', 'd')]
  expect(() => assignFiles(files, description, { frames: [] })).toThrow(
    'image: expected one file, got 2.\nlabel: it is no file input.\nframes: it came as a file and among the inputs.',
  )
})

test('what the workflow has in that place stays', async () => {
  await mkdir(join(work, 'inputs/image'), { recursive: true })
  await writeFile(join(work, 'inputs/other.txt'), 'x')
  const assigned = assignFiles([file('image', 'a')], description, {})
  await expect(assigned.place(work)).rejects.toMatchObject({ code: 'workflow-conflict' })
  await assignFiles([file('frames', 'a')], description, {}).place(work)
  expect(await readdir(join(work, 'inputs'))).toEqual(['frames', 'image', 'other.txt'])
})

test('a name that leads elsewhere does not', () => {
  for (const name of ['..', '../..', '/etc', '__proto__']) {
    const { inputs } = assignFiles([file(name, '../../x')], description, {})
    expect(Object.entries(inputs)).toEqual([[name, expect.stringMatching(/^inputs\/\w+\/x$/)]])
  }
})
