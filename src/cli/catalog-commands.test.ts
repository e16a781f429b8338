import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { serveTestApi } from '../../test/helpers/api-server.ts'
import { fakeTerminal } from '../../test/helpers/fake-terminal.ts'
import { runCommandLine } from './program.ts'

const scriptsMs = 60_000
const script = `import { file, functionTask, input, integer } from 'molehill'
const image = file('image'), size = integer('size', { default: 3 })
export default functionTask('f', { inputs: [image, size], run: () => ({}) })
  .describe({ title: 'Measure', category: 'tests', inputs: [input(image), input(size, { minimum: 1 })] })
`
let served: Awaited<ReturnType<typeof serveTestApi>>
let directory: string

beforeEach(async () => {
  served = await serveTestApi()
  directory = await mkdtemp(join(tmpdir(), 'cli-'))
  await mkdir(join(directory, 'measure'))
  await writeFile(join(directory, 'measure', 'workflow.ts'), script)
  await writeFile(join(directory, 'm51.fits'), 'pixels')
  await writeFile(join(directory, 'password'), 'sesame\n', { mode: 0o600 })
  await molehill('token', '--password-file', join(directory, 'password'))
})
afterEach(async () => {
  await served[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

async function molehill(...words: readonly string[]) {
  const variables = { XDG_CONFIG_HOME: join(directory, 'config'), MOLEHILL_SERVER: served.url }
  const terminal = fakeTerminal({ variables, currentDirectory: directory })
  const exitCode = await runCommandLine(words, terminal)
  return { exitCode, ...terminal.written }
}

test('a workflow is added, listed, described, started and removed', { timeout: scriptsMs }, async () => {
  expect((await molehill('catalog', 'list')).stderr).toContain('There are none. Install one')
  expect(await molehill('catalog', 'add', 'measure')).toMatchObject({
    exitCode: 0,
    stderr: 'Added measure. What it takes: molehill describe measure\n',
  })
  expect((await molehill('catalog', 'list')).stdout).toMatch(
    /^name .*\nmeasure +installed +tests +Measure\n$/,
  )
  expect((await molehill('describe', 'measure')).stdout).toMatch(
    /\nimage +file +\(must be given\)\nsize +integer +3 +at least 1\n/,
  )
  const described = JSON.parse((await molehill('describe', 'measure', '--json')).stdout) as object
  expect(described).toMatchObject({
    name: 'measure',
    inputs: [{ name: 'image' }, { name: 'size', default: 3 }],
  })

  const start = await molehill(
    'start',
    '--workflow',
    'measure',
    '--input',
    'size=8',
    '--input',
    'image=@m51.fits',
  )
  expect(start).toMatchObject({ exitCode: 0, stdout: 'id-1\n' })
  const { workDirectory = '' } = served.executions.all.get('id-1') ?? {}
  expect(await readFile(join(workDirectory, 'inputs/image/m51.fits'), 'utf8')).toBe('pixels')

  expect(await molehill('catalog', 'remove', 'measure')).toMatchObject({
    exitCode: 0,
    stderr: 'It is removed.\n',
  })
  expect(await molehill('describe', 'measure')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('There is no workflow named "measure"') as string,
  })
})

test('a workflow may be added under another name, and not twice', { timeout: scriptsMs }, async () => {
  expect((await molehill('catalog', 'add', 'measure', '--name', 'other', '--json')).stdout).toContain(
    '"other"',
  )
  expect(await molehill('catalog', 'add', 'measure', '--name', 'other')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('hint: Remove it first') as string,
  })
  await writeFile(join(directory, 'measure', 'workflow.ts'), script.replace(/\.describe\(.*\)/, ''))
  expect(await molehill('catalog', 'add', 'measure')).toMatchObject({ exitCode: 3 })
})

test('a directory and a workflow of the catalog do not go together', async () => {
  expect(await molehill('start', 'measure', '--workflow', 'measure')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('Expected a directory or --workflow, got both.') as string,
  })
})
