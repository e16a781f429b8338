import { describe, expect, test } from 'vitest'
import { copyFile, cross, explore, file, files, functionTask, number, text, withIndex } from '../molehill.ts'
import { compile } from './compile.ts'
import { referencedFiles } from './referenced-files.ts'
import type { Workflow } from './workflow.ts'

const picture = file('picture')
const index = number('index')

describe('files that a plan counts on', () => {
  test('are the defaults of file values and the directories whose files are sampled', () => {
    const model = functionTask('model', { inputs: [file('mask', { default: 'mask.png' })], run: () => ({}) })
    const sampling = withIndex(index, cross(files(picture, { directory: 'pictures' })))
    expect(paths(explore(sampling, model))).toEqual(['directory pictures', 'file mask.png'])
  })

  test('do not include a directory that a hook fills before', () => {
    const draw = functionTask('draw', {
      outputs: [picture, index],
      run: () => ({ picture: 'a.png', index: 1 }),
    })
    const show = functionTask('show', { inputs: [picture], run: () => ({}) })
    const sampling = files(picture, { directory: './pictures/' })
    expect(paths(draw.hook(copyFile(picture, text`pictures/${index}.png`)).explore(sampling, show))).toEqual(
      [],
    )
    expect(paths(draw.hook(copyFile(picture, 'other/a.png')).explore(sampling, show))).toEqual([
      'directory ./pictures/',
    ])
  })
})

function paths(workflow: Workflow): string[] {
  const { plan } = compile(workflow, { script: 'w.ts', directoryUrl: 'file:///work/' })
  return referencedFiles(plan).map(({ kind, path }) => `${kind} ${path}`)
}
