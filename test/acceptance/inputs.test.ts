import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestEngine, type TestEngine } from '../helpers/engine.ts'

const script = `
  import { readFileSync } from 'node:fs'
  import { basename } from 'node:path'
  import { display, explore, file, functionTask, input, integer, range, string, text } from 'molehill'
  const count = integer('count'), i = integer('i'), image = file('image'), label = string('label'), size = integer('size')
  const measure = functionTask('measure', {
    inputs: [image, label, i],
    outputs: [size],
    run: ({ image, i }) => ({ size: i * readFileSync(image, 'utf8').length }),
  })
  export default explore(range(i, { from: 1, to: count }), measure.hook(display(text\`\${label} \${i}: \${size}\`))).describe({
    title: 'Measure',
    inputs: [
      input(count, { default: 2, minimum: 1, maximum: 3 }),
      input(image, { formats: ['txt'] }),
      input(label, { default: 'size' }),
    ],
  })
`

describe('a workflow that says which inputs it takes', () => {
  let engine: TestEngine
  beforeAll(async () => {
    engine = await startTestEngine()
  })
  afterAll(async () => {
    await engine[Symbol.asyncDispose]()
  })

  const start = async (inputs: Readonly<Record<string, unknown>>) =>
    engine.start({ 'workflow.ts': script, 'data/m.txt': 'abcde' }, { inputs })

  test('is started with them, and keeps them over a restart', { timeout: 30_000 }, async () => {
    const id = await start({ image: 'data/m.txt', count: 3, label: 'm' })
    engine = await engine.restart()
    const state = await engine.executions.ended(id, AbortSignal.timeout(20_000))
    expect(state.error).toBeUndefined()
    const lines = (await engine.executions.output(id)).trim().split('\n').sort()
    expect(lines).toEqual(['m 1: 5', 'm 2: 10', 'm 3: 15'])
  })

  test.each([
    ['nothing', {}, 'image: it must be given.'],
    ['a number out of range', { image: 'data/m.txt', count: 4 }, 'count: expected at most 3, got 4.'],
    [
      'a file that is not there',
      { image: 'data/other.txt' },
      '"data/other.txt" is not in the work directory',
    ],
    ['a file outside', { image: '../../molehill.txt' }, 'is no path inside the work directory'],
  ])('is not started with %s', async (_, inputs, message) => {
    await expect(start(inputs)).rejects.toMatchObject({
      code: 'inputs-invalid',
      message: expect.stringContaining(message) as string,
    })
  })

  test('takes none where its script describes none', async () => {
    const plain = `import { functionTask } from 'molehill'\nexport default functionTask('f', { run: () => ({}) })`
    await expect(engine.start({ 'workflow.ts': plain }, { inputs: { x: 1 } })).rejects.toMatchObject({
      code: 'inputs-invalid',
    })
  })
})
