import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeFiles } from '../../test/helpers/engine.ts'
import { openCatalog } from './catalog.ts'
import type { Catalog } from './contract.ts'

const manyScriptsMs = 60_000
let root: string
let shipped: string
let installed: string
let now = 0
let catalog: Catalog

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'molehill-catalog-'))
  shipped = join(root, 'shipped')
  installed = join(root, 'installed')
  now = 1000
  catalog = await open()
})
afterEach(async () => {
  await catalog.close()
  await rm(root, { recursive: true, force: true })
})

const open = (): Promise<Catalog> =>
  openCatalog({
    shippedDirectory: shipped,
    directory: installed,
    scriptTimeMs: 30_000,
    scriptMemoryBytes: 512 * 2 ** 20,
    variables: process.env,
    now: () => now,
  })

/** A script that describes itself. */
function script(title: string, more = ''): string {
  return `import { functionTask, input, integer } from 'molehill'
${more}
const size = integer('size', { default: 3 })
export default functionTask('f', { inputs: [size], run: () => ({}) })
  .describe({ title: '${title}', category: 'tests', inputs: [input(size, { minimum: 1 })] })
`
}
const undescribed = `import { functionTask } from 'molehill'\nexport default functionTask('f', { run: () => ({}) })`

const add = (name: string, files: Readonly<Record<string, string>>) =>
  catalog.add(name, (directory) => writeFiles(directory, files), AbortSignal.timeout(manyScriptsMs))

const titles = async () =>
  (await catalog.list()).map((entry) =>
    entry.kind === 'workflow' ? `${entry.name}: ${entry.description.title}` : `${entry.name} is broken`,
  )

describe('a catalog', { timeout: manyScriptsMs }, () => {
  it('holds the shipped folders that describe themselves and the installed ones, by name', async () => {
    await writeFiles(shipped, {
      'b/workflow.ts': script('B'),
      'a/workflow.ts': undescribed,
      'README.md': 'no folder',
    })
    await writeFiles(installed, { 'c/workflow.ts': script('C'), '.hidden/workflow.ts': script('hidden') })
    expect(await titles()).toEqual(['b: B', 'c: C'])
    expect(await catalog.find('b')).toMatchObject({
      kind: 'workflow',
      name: 'b',
      origin: 'shipped',
      script: 'workflow.ts',
      description: { category: 'tests', inputs: [{ name: 'size', default: 3, minimum: 1 }] },
    })
  })

  it('is empty where there is nothing', async () => {
    expect(await catalog.list()).toEqual([])
  })

  it('lists what is broken with its error beside the others', async () => {
    await writeFiles(shipped, { 'good/workflow.ts': script('Good'), 'typo/workflow.ts': 'export default (' })
    await writeFiles(installed, {
      'silent/workflow.ts': undescribed,
      'empty/README.md': 'no script',
      'bad name/workflow.ts': script('Bad name'),
      'good/workflow.ts': script('Takes the name'),
      'package/package.json': '[]',
      'reading/workflow.ts': `import { readFileSync } from 'node:fs'
try { readFileSync(import.meta.dirname + '/none') } catch (error) {
  throw new Error(String(error) + ' in ' + import.meta.dirname)
}`,
    })
    const problems = (await catalog.list()).map((entry) => [
      entry.name,
      entry.origin,
      entry.kind === 'broken' ? `${entry.problem.code}: ${entry.problem.message}` : 'fine',
    ])
    expect(problems).toEqual([
      ['bad name', 'installed', expect.stringContaining('expected a letter, then up to 63 letters')],
      ['empty', 'installed', expect.stringContaining("script-missing: The script doesn't exist")],
      ['good', 'shipped', 'fine'],
      ['good', 'installed', expect.stringContaining('is the name of a workflow that comes with Molehill')],
      ['package', 'installed', expect.stringContaining('package.json is no JSON object')],
      ['reading', 'installed', expect.stringMatching(/open 'none' in \.$/)],
      ['silent', 'installed', expect.stringContaining('does not say which inputs and outputs it has')],
      ['typo', 'shipped', expect.stringContaining('script-invalid: workflow.ts')],
    ])
    expect(JSON.stringify(problems)).not.toContain(root)
    await expect(catalog.find('typo')).rejects.toThrow('The workflow typo is broken: workflow.ts')
    await expect(catalog.find('silent')).rejects.toMatchObject({ code: 'workflow-invalid' })
    expect(await catalog.find('good')).toMatchObject({ description: { title: 'Good' } })
  })

  it('takes the script that package.json names', async () => {
    const files = { 'package.json': '{"main":"src/model.ts"}', 'src/model.ts': script('Elsewhere') }
    expect(await add('elsewhere', files)).toMatchObject({ script: 'src/model.ts' })
    const outside = { 'package.json': '{"main":"../elsewhere/src/model.ts"}' }
    await expect(add('outside', outside)).rejects.toMatchObject({ code: 'script-missing' })
  })

  it('reads a script again only when something of its folder has changed', async () => {
    // The title comes from a file that the script reads: one that is older than the script matters as well.
    const fromFile = script('TITLE').replace(
      "'TITLE'",
      "readFileSync(import.meta.dirname + '/title', 'utf8')",
    )
    await writeFiles(installed, {
      'a/workflow.ts': `import { readFileSync } from 'node:fs'\n${fromFile}`,
      'a/title': 'first',
    })
    expect(await titles()).toEqual(['a: first'])
    const [one, two] = [await catalog.find('a'), await catalog.find('a')]
    expect(one.description).toBe(two.description)
    const { atime, mtime } = await stat(join(installed, 'a/title'))
    await writeFile(join(installed, 'a/title'), 'other')
    await utimes(join(installed, 'a/title'), atime, mtime)
    expect(await titles()).toEqual(['a: other'])
    await rm(join(installed, 'a'), { recursive: true })
    expect(await titles()).toEqual([])
  })

  it('tries a broken one again after a minute, and at once when it has changed', async () => {
    await writeFiles(installed, { 'a/workflow.ts': `throw new Error(String(process.hrtime.bigint()))` })
    const message = () => catalog.find('a').then(() => 'fine', String)
    const first = await message()
    now += 59_000
    expect(await message()).toBe(first)
    now += 2000
    expect(await message()).not.toBe(first)
    await writeFiles(installed, { 'a/workflow.ts': script('A') })
    expect(await message()).toBe('fine')
  })

  it('refuses a description that would fill its memory', async () => {
    const files = { 'workflow.ts': script('Long').replace("'tests'", "'x'.repeat(200_000)") }
    await expect(add('long', files)).rejects.toThrow('expected at most 131072')
  })
})

describe('what is added', { timeout: manyScriptsMs }, () => {
  it('is there, and gone when it is removed', async () => {
    expect(await add('a', { 'workflow.ts': script('A'), 'data/x': '1' })).toMatchObject({
      origin: 'installed',
    })
    expect(await readdir(installed)).toEqual(['a'])
    await catalog.close()
    catalog = await open()
    expect(await titles()).toEqual(['a: A'])
    await catalog.remove('a')
    expect(await readdir(installed)).toEqual([])
    await expect(catalog.find('a')).rejects.toMatchObject({ code: 'workflow-unknown' })
    await expect(catalog.remove('a')).rejects.toMatchObject({ code: 'workflow-unknown' })
  })

  it.each([
    ['does not describe itself', { 'workflow.ts': undescribed }, 'workflow-invalid'],
    ['has no script', { 'model.ts': script('A') }, 'script-missing'],
    ['does not compile', { 'workflow.ts': 'export default (' }, 'script-invalid'],
  ])('leaves nothing behind when it %s', async (_, files, code) => {
    await expect(add('a', files)).rejects.toMatchObject({ code })
    expect(await readdir(installed)).toEqual([])
  })

  it('leaves nothing behind when its files do not come', async () => {
    const place = async (directory: string): Promise<void> => {
      await mkdir(directory)
      throw new Error('cut off')
    }
    await expect(catalog.add('a', place, AbortSignal.timeout(1000))).rejects.toThrow('cut off')
    expect(await readdir(installed)).toEqual([])
  })

  it.each(['', '.', '..', '../a', 'a/b', '-a', '.a', '1a', 'a b', 'a\n', 'ä', `a${'b'.repeat(64)}`])(
    'cannot be named %j',
    async (name) => {
      await expect(add(name, { 'workflow.ts': script('A') })).rejects.toMatchObject({
        code: 'parameter-invalid',
      })
      await expect(catalog.find(name)).rejects.toMatchObject({ code: 'workflow-unknown' })
      await expect(catalog.remove(name)).rejects.toMatchObject({ code: 'workflow-unknown' })
      await expect(catalog.fill(name, join(root, 'work'))).rejects.toMatchObject({ code: 'workflow-unknown' })
    },
  )

  it('has a name of its own', async () => {
    await writeFiles(shipped, { 'own/workflow.ts': script('Own'), 'broken/workflow.ts': '(' })
    await add('a', { 'workflow.ts': script('A') })
    for (const name of ['own', 'broken', 'a'])
      await expect(add(name, { 'workflow.ts': script('B') })).rejects.toMatchObject({
        code: 'workflow-conflict',
      })
    await expect(catalog.remove('own')).rejects.toThrow('comes with Molehill')
    expect(await titles()).toEqual(['a: A', 'broken is broken', 'own: Own'])
  })

  it('has its name even when two add it at the same time', async () => {
    const ends = await Promise.allSettled([
      add('a', { 'workflow.ts': script('One') }),
      add('a', { 'workflow.ts': script('Two') }),
    ])
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(await titles()).toEqual(['a: One'])
  })

  it('is cleared away when a crash has left it half made', async () => {
    await writeFiles(installed, {
      '.adding-1/workflow.ts': script('A'),
      '.removed-2/x': '',
      'b/workflow.ts': '',
    })
    await catalog.close()
    catalog = await open()
    expect(await readdir(installed)).toEqual(['b'])
  })
})

describe('a copy of an entry', { timeout: manyScriptsMs }, () => {
  it('is of its own: writing it changes nothing of the entry, and the other way round', async () => {
    await add('a', { 'workflow.ts': script('A'), 'data/x.txt': 'as it was' })
    await symlink('x.txt', join(installed, 'a/data/link'))
    const work = join(root, 'work')
    await catalog.fill('a', work)
    expect(await readFile(join(work, 'data/link'), 'utf8')).toBe('as it was')
    await writeFile(join(work, 'data/link'), 'written by a job')
    expect(await readFile(join(installed, 'a/data/x.txt'), 'utf8')).toBe('as it was')
    await catalog.remove('a')
    expect(await readFile(join(work, 'data/x.txt'), 'utf8')).toBe('written by a job')
    expect((await stat(work)).mode & 0o777).toBe(0o700)
  })

  it('comes with what its script says, as long as nothing of the entry changes', async () => {
    await add('a', { 'workflow.ts': script('A', "import './part.ts'"), 'part.ts': '', 'data.txt': 'a' })
    const fill = async (name: string) => catalog.fill('a', join(root, name))
    const first = await fill('first')
    expect(first).toMatchObject({
      plan: { script: 'workflow.ts', description: { title: 'A' } },
      modules: expect.arrayContaining(['workflow.ts', 'part.ts']) as string[],
    })
    // The same one: nothing was read again.
    expect(await fill('second')).toBe(first)
    await writeFile(join(installed, 'a/data.txt'), 'b')
    const third = await fill('third')
    expect(third).toEqual(first)
    expect(third).not.toBe(first)
    await writeFile(join(installed, 'a/workflow.ts'), script('B'))
    expect(await fill('fourth')).toMatchObject({
      plan: { description: { title: 'B' } },
      modules: ['workflow.ts'],
    })
  })

  it('comes without, where the entry changes while it is copied', async () => {
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`data/${n}.txt`, String(n)]))
    await add('a', { ...files, 'workflow.ts': script('A') })
    const work = join(root, 'work')
    const filling = catalog.fill('a', work)
    const hasBegun = async () =>
      stat(work).then(
        () => true,
        () => false,
      )
    await expect.poll(hasBegun, { interval: 1 }).toBe(true)
    await writeFile(join(installed, 'a/data/0.txt'), 'changed')
    expect(await filling).toBeUndefined()
  })

  it('is whole when the entry is removed meanwhile', async () => {
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`data/${n}.txt`, String(n)]))
    await add('a', { ...files, 'workflow.ts': script('A') })
    const work = join(root, 'work')
    const filling = catalog.fill('a', work)
    // Only a copy that has begun counts.
    await expect
      .poll(
        () =>
          stat(join(work, 'data')).then(
            () => true,
            () => false,
          ),
        { interval: 1 },
      )
      .toBe(true)
    await catalog.remove('a')
    await filling
    expect(await readdir(join(work, 'data'))).toHaveLength(300)
  })
})
