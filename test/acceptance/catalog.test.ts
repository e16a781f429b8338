import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { listData, password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const longMs = 120_000

/** Counts characters of files in a function and says its label by a command: every kind of input. */
const measure = `
import { commandTask, csv, display, file, functionTask, input, integer, output, readStdout, shell, string, text } from 'molehill'
const image = file('image'), extra = file('extra').array
const factor = integer('factor', { default: 2 }), label = string('label', { default: 'plain' })
const size = integer('size'), told = string('told')
const measure = functionTask('measure', {
  inputs: [image, extra, factor],
  outputs: [size],
  async run({ image, extra, factor }) {
    const { readFile, appendFile } = await import('node:fs/promises')
    const all = await Promise.all([image, ...extra].map((path) => readFile(path, 'utf8')))
    await appendFile('notes.txt', 'written by the job')
    return { size: factor * all.join('').length }
  },
})
const say = commandTask('say', { command: shell\`printf %s \${label}\`, outputs: [readStdout(told)] })
export default measure.next(say.hook(display(text\`\${label} is told as \${told}: \${size}\`), csv('sizes.csv', { values: [size] })))
  .describe({
    title: 'Measure a picture',
    description: 'Counts characters.',
    category: 'tests',
    inputs: [
      input(image, { title: 'Picture', formats: ['txt'] }),
      input(extra, { default: [] }),
      input(factor, { minimum: 1, maximum: 10, values: [1, 2, 5] }),
      input(label, { advanced: true }),
    ],
    outputs: [output('sizes.csv', { role: 'table' })],
  })
`
const archive = tarGzip([
  { name: 'workflow.ts', content: measure },
  { name: 'notes.txt', content: 'of the entry ' },
])

let server: TestServer
let token: string

beforeAll(async () => {
  server = await startTestServer({ http: true, requestRate: '0' })
  token = String((await post('/token', { password })).json['token'])
  expect(
    await post('/catalog/add', { name: 'measure' }, [['workDirectory', archive, 'w.tgz']]),
  ).toMatchObject({
    status: 200,
  })
}, longMs)
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

type File = readonly [name: string, content: string | Buffer, fileName: string]

async function post(path: string, fields: Readonly<Record<string, string>>, files: readonly File[] = []) {
  const form = new FormData()
  for (const [name, value] of Object.entries({ token: token ?? '', ...fields })) form.set(name, value)
  for (const [name, content, fileName] of files)
    form.append(name, new Blob([typeof content === 'string' ? content : new Uint8Array(content)]), fileName)
  const answer = await fetch(`${server.url}${path}`, { method: 'POST', body: form })
  const text = await answer.text()
  return { status: answer.status, text, json: JSON.parse(text || '{}') as Record<string, unknown> }
}

/** Starts `measure`, waits for its end, and answers with what it has written. */
async function measured(inputs: Readonly<Record<string, unknown>>, files: readonly File[]) {
  const { status, json } = await post(
    '/start',
    { workflow: 'measure', inputs: JSON.stringify(inputs) },
    files,
  )
  expect([status, json]).toEqual([200, { id: expect.any(String) as string }])
  const id = String(json['id'])
  const state = await until(
    'the execution has ended',
    async () => {
      const { json } = await post('/state', { id })
      return json['state'] === 'running' ? undefined : json
    },
    () => id,
  )
  expect(state).toMatchObject({ state: 'finished' })
  const { json: written } = await post('/output', { id })
  const work = join(server.dataDirectory, 'executions', id, 'work')
  return { id, output: String(written['output']), work }
}

const picture: File = ['input.image', 'abcde', 'm51.txt']

describe('a workflow of the catalog', { timeout: longMs }, () => {
  test('is listed with the shipped ones, and described', async () => {
    const { json } = await post('/catalog', {})
    const entries = json['workflows'] as { name: string; origin: string; title: string }[]
    expect(entries.map(({ name, origin }) => `${name} ${origin}`)).toEqual([
      'exciting shipped',
      'forest-fire shipped',
      'influenza shipped',
      'measure installed',
      'source-finder shipped',
      'word-count shipped',
    ])
    expect(await post('/describe', { workflow: 'measure' })).toMatchObject({
      status: 200,
      json: {
        name: 'measure',
        title: 'Measure a picture',
        category: 'tests',
        inputs: [
          { name: 'image', type: 'file', title: 'Picture', mandatory: true, formats: ['txt'] },
          { name: 'extra', type: 'file[]', mandatory: false, default: [] },
          { name: 'factor', type: 'integer', default: 2, values: [1, 2, 5], minimum: 1, maximum: 10 },
          { name: 'label', type: 'string', default: 'plain', advanced: true },
        ],
        outputs: [{ path: 'sizes.csv', role: 'table' }],
      },
    })
  })

  test('is started with inputs and files, under its own name, on a copy', async () => {
    const extra: File[] = [
      ['input.extra', '12', 'x.txt'],
      ['input.extra', '3', 'x.txt'],
    ]
    const { id, output, work } = await measured({ factor: 5, label: 'big' }, [picture, ...extra])
    expect(output).toBe('big\nbig is told as big: 40\n')
    expect(await readFile(join(work, 'inputs/image/m51.txt'), 'utf8')).toBe('abcde')
    expect((await readdir(join(work, 'inputs/extra'))).sort()).toEqual(['x-2.txt', 'x.txt'])
    const entry = join(server.dataDirectory, 'catalog/measure')
    expect((await readdir(entry)).sort()).toEqual(['notes.txt', 'workflow.ts'])
    expect(await readFile(join(entry, 'notes.txt'), 'utf8')).toBe('of the entry ')
    const { text } = await post('/list', {})
    expect((JSON.parse(text) as { id: string; name: string }[]).find((each) => each.id === id)?.name).toBe(
      'measure',
    )
    expect(await listData(server.dataDirectory)).not.toContainEqual(expect.stringContaining('upload-'))
  })

  test.each([
    '$(touch pwned)',
    '`touch pwned`',
    '; touch pwned #',
    "' ; touch pwned ; '",
    '" && touch pwned && "',
    'a\ntouch pwned',
    '| touch pwned',
    '-n $HOME ~ * ?\\',
    '%s %d \'x\' "y" ${IFS} !! é',
  ])('gets the option %j as a value, not as text of a shell', async (label) => {
    const { output, work } = await measured({ label }, [picture])
    expect(output).toContain(`${label} is told as ${label.trimEnd()}: 10`)
    expect(await readdir(work, { recursive: true })).not.toContain('pwned')
  })

  test('gets uploaded files under names that are only names', async () => {
    const { work } = await measured({}, [['input.image', 'abc', '../../-rf $(id).txt']])
    expect(await readdir(join(work, 'inputs/image'))).toEqual(['rf_id_.txt'])
  })

  test.each<[string, Record<string, unknown>, readonly File[], RegExp]>([
    ['nothing', {}, [], /image: it must be given/],
    ['a value that is not listed', { factor: 3 }, [picture], /factor: expected one of 1, 2, 5, got 3/],
    ['a text for a number', { factor: '2' }, [picture], /factor: expected a whole number, got "2"/],
    ['an input that there is not', { size: 3 }, [picture], /size: there is no such input/],
    ['a file for nothing', {}, [picture, ['input.other', 'x', 'x']], /other: there is no such input/],
    [
      'a file of another kind',
      {},
      [['input.image', 'x', 'm51.exe']],
      /image: expected a file that ends in \.txt/,
    ],
    ['a file for a number', {}, [picture, ['input.factor', '2', 'x']], /factor: it is no file input/],
    ['two files for one', {}, [picture, picture], /image: expected one file, got 2/],
    ['a file twice', { image: 'notes.txt' }, [picture], /image: it came as a file and among the inputs/],
    ['a path that leaves', { image: '../../x.txt' }, [], /is no path inside the work directory/],
  ])('is refused %s, by /start and /validate, and leaves nothing', async (_, inputs, files, message) => {
    const before = await listData(server.dataDirectory)
    for (const path of ['/start', '/validate']) {
      const answer = await post(path, { workflow: 'measure', inputs: JSON.stringify(inputs) }, files)
      expect(answer).toMatchObject({ status: 417, json: { code: 'inputs-invalid' } })
      expect(answer.json['message']).toMatch(message)
    }
    expect(await listData(server.dataDirectory)).toEqual(before)
  })

  test('is validated with its inputs', async () => {
    expect(await post('/validate', { workflow: 'measure' }, [picture])).toMatchObject({
      status: 200,
      json: { name: 'measure', capsules: ['measure', 'say'] },
    })
  })

  test('is started once for one Idempotency-Key, and files count', async () => {
    const start = async (content: string) => {
      const body = new FormData()
      body.set('token', token)
      body.set('workflow', 'measure')
      body.set('input.image', new Blob([content]), 'a.txt')
      const headers = { 'Idempotency-Key': 'same' }
      const answer = await fetch(`${server.url}/start`, { method: 'POST', body, headers })
      return { status: answer.status, json: (await answer.json()) as Record<string, unknown> }
    }
    const first = await start('one')
    expect(first.status).toBe(200)
    expect(await start('one')).toEqual(first)
    expect((await start('two')).status).toBe(422)
  })

  test('may be changed or removed while executions of it run', async () => {
    const slow = `import { functionTask, input, integer, display } from 'molehill'
import { text } from './text.ts'
const ms = integer('ms', { default: 0 })
export default functionTask('wait', { inputs: [ms], run: ({ ms }) => new Promise((done) => setTimeout(done, ms, {})) })
  .next(functionTask('say', { run: () => { console.log(text); return {} } })).describe({ title: text, inputs: [input(ms)] })`
    const content = tarGzip([
      { name: 'workflow.ts', content: slow },
      { name: 'text.ts', content: "export const text = 'the first'" },
    ])
    const added = await post('/catalog/add', { name: 'slow' }, [['workDirectory', content, 'w.tgz']])
    expect(added).toMatchObject({ status: 200, json: { title: 'the first' } })
    const id = String((await post('/start', { workflow: 'slow', inputs: '{"ms":1500}' })).json['id'])
    await writeFile(join(server.dataDirectory, 'catalog/slow/text.ts'), "export const text = 'the second'")
    expect((await post('/describe', { workflow: 'slow' })).json['title']).toBe('the second')
    expect((await post('/catalog/remove', { name: 'slow' })).status).toBe(200)
    expect(await post('/start', { workflow: 'slow' })).toMatchObject({
      status: 404,
      json: { code: 'workflow-unknown' },
    })
    const end = await until(
      'the execution has ended',
      async () => {
        const { json } = await post('/state', { id })
        return json['state'] === 'running' ? undefined : json
      },
      () => id,
    )
    expect(end).toMatchObject({ state: 'finished' })
    expect((await post('/output', { id })).json['output']).toBe('the first\n')
  })
})

describe('the catalog of a server', { timeout: longMs }, () => {
  test('refuses what does not describe itself, what is taken and what is shipped', async () => {
    const before = await readdir(join(server.dataDirectory, 'catalog'))
    const script =
      "import { functionTask } from 'molehill'\nexport default functionTask('f', { run: () => ({}) })"
    const plain = tarGzip([{ name: 'workflow.ts', content: script }])
    const add = (name: string, content: Buffer) =>
      post('/catalog/add', { name }, [['workDirectory', content, 'w.tgz']])
    expect(await add('plain', plain)).toMatchObject({
      status: 417,
      json: { code: 'workflow-invalid', hint: expect.stringContaining('workflow.describe({') as string },
    })
    expect(await add('measure', archive)).toMatchObject({ status: 409, json: { code: 'workflow-conflict' } })
    expect(await add('influenza', archive)).toMatchObject({
      status: 409,
      json: { code: 'workflow-conflict' },
    })
    expect(await add('../evil', archive)).toMatchObject({ status: 400, json: { code: 'parameter-invalid' } })
    expect(await post('/catalog/remove', { name: 'influenza' })).toMatchObject({ status: 409 })
    expect(await readdir(join(server.dataDirectory, 'catalog'))).toEqual(before)
  })

  test('tells the audit log who added and removed what', async () => {
    await post('/catalog/remove', { name: 'nothing' })
    const lines = async () =>
      (await readFile(join(server.dataDirectory, 'audit.log'), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ action }) => String(action).startsWith('catalog-'))
    await expect
      .poll(lines, { message: 'no line of the removal', timeout: 10_000 })
      .toContainEqual(
        expect.objectContaining({ action: 'catalog-remove', outcome: 'workflow-unknown', object: 'nothing' }),
      )
    expect(await lines()).toContainEqual(
      expect.objectContaining({ action: 'catalog-add', outcome: 'ok', object: 'measure' }),
    )
  })
})
