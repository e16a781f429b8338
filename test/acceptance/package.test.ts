import { cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findInstallation } from '../../src/cli/installation.ts'
import { openPlayground, type Playground } from '../helpers/command-line.ts'

const { directory: checkout, version } = findInstallation()
const installationMs = 300_000

let playground: Playground
beforeEach(async () => {
  playground = await openPlayground()
})
afterEach(() => playground[Symbol.asyncDispose]())

/** npm as this computer has it: its cache, its registry, its certificates. */
async function npm(...words: readonly string[]): Promise<void> {
  const own = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !/^(TMPDIR|NODE_ENV|NODE_OPTIONS)$/.test(entry[0]),
  )
  const { exitCode, stdout, stderr } = await playground.run('npm', words, Object.fromEntries(own))
  if (exitCode !== 0) throw new Error(`npm ${words.join(' ')} ended with ${exitCode}:\n${stdout}${stderr}`)
}

/** Packs a copy, so that `dist` of the checkout stays as it is. */
async function pack(): Promise<string> {
  const copy = join(playground.directory, 'copy')
  await mkdir(copy)
  for (const name of await readdir(checkout))
    if (!/^(node_modules|dist|test|\..*)$/.test(name))
      await cp(join(checkout, name), join(copy, name), { recursive: true })
  await symlink(join(checkout, 'node_modules'), join(copy, 'node_modules'))
  await npm('pack', copy, '--pack-destination', playground.directory, '--silent')
  return join(playground.directory, `molehill-${version}.tgz`)
}

test('the package installs, brings its Node, and runs a workflow', { timeout: installationMs }, async () => {
  const { directory } = playground
  const archive = await pack()
  const prefix = join(directory, 'global')
  await npm('install', '--global', '--prefix', prefix, '--prefer-offline', archive)
  const molehill = join(prefix, 'bin', 'molehill')
  const modules = join(prefix, 'lib', 'node_modules', 'molehill', 'node_modules')
  expect(await readdir(join(modules, 'node', 'bin'))).toEqual(['node'])

  // An old node comes first on the PATH: it has to be the one that came along.
  const old = join(directory, 'old')
  await mkdir(old)
  await writeFile(join(old, 'node'), '#!/bin/sh\necho 18\n', { mode: 0o755 })
  const PATH = `${old}:${process.env.PATH}`
  const run = (...words: readonly string[]) => playground.run(molehill, words, { PATH })
  expect(await run('--version')).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: '' })

  expect((await run('init', 'work')).exitCode).toBe(0)
  const tsc = join(checkout, 'node_modules', '.bin', 'tsc')
  expect(await playground.run(tsc, ['-p', 'work'])).toMatchObject({ exitCode: 0, stdout: '' })

  await writeFile(
    join(directory, 'work', 'tiny.ts'),
    `import { commandTask, display, readStdout, shell, string } from 'molehill'
const greeting = string('greeting')
export default commandTask('greet', { command: shell\`echo hello\`, outputs: [readStdout(greeting)] })
  .hook(display([greeting]))
`,
  )
  expect(await run('run', 'work', '--script', 'tiny.ts')).toMatchObject({
    exitCode: 0,
    stdout: 'hello\ngreeting = hello\n',
  })
  expect(await run('run', 'work')).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('1000 steps'),
  })
})
