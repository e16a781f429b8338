import type { Command } from 'commander'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { Problem } from '../problem.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { findInstallation } from './installation.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'
import { makeReadme, makeTsconfig, starterWorkflow, type TypesPlace } from './starter.ts'
import { defaultScript, kindOf } from './work-directory.ts'

interface InitOptions extends CommonOptions {
  readonly types: boolean
}

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('[directory]', 'made when it is not there', '.')
    .option('--types', 'only write tsconfig.json anew, for an editor on this computer', false)
    .action(async (directory: string, options: InitOptions) => init(directory, options, terminal))
  addExamples(command, [
    'molehill init sandpile         make the directory with a workflow that runs',
    'molehill init . --types        after moving it to another computer',
  ])
}

async function init(named: string, { types, json }: InitOptions, terminal: Terminal): Promise<void> {
  const directory = resolve(terminal.currentDirectory, named)
  const tsconfig = ['tsconfig.json', makeTsconfig(await findTypes())] as const
  const starter = [[defaultScript, starterWorkflow], tsconfig, ['README.md', makeReadme()]] as const
  const files = types ? [tsconfig] : starter
  if (!types) await refuseToOverwrite(directory, files)
  await mkdir(directory, { recursive: true })
  for (const [name, content] of files)
    await writeFile(join(directory, name), content, { flag: types ? 'w' : 'wx' })
  const names = files.map(([name]) => name)
  if (json) {
    await printJson(terminal, { directory, files: names })
    return
  }
  say(terminal, `Made ${names.join(', ')} in ${directory}.`)
  if (!types) say(terminal, `Run it: molehill run${named === '.' ? '' : ` ${named}`}`)
}

/** Where an editor finds the types: the declarations of an installed package, or the sources of a checkout. */
async function findTypes(): Promise<TypesPlace> {
  const { directory } = findInstallation()
  const source = join(directory, 'src', 'molehill.ts')
  const language =
    (await kindOf(source)) === 'file' ? source : join(directory, 'dist', 'src', 'molehill.d.ts')
  return { language, node: findNodeTypes(directory) }
}

/** The directory of `@types/node`, when it is installed with Molehill. */
function findNodeTypes(directory: string): string | undefined {
  try {
    return dirname(createRequire(join(directory, 'package.json')).resolve('@types/node/package.json'))
  } catch {
    return undefined
  }
}

async function refuseToOverwrite(
  directory: string,
  files: readonly (readonly [string, string])[],
): Promise<void> {
  for (const [name] of files) {
    const path = join(directory, name)
    if ((await kindOf(path)) !== 'nothing')
      throw new Problem('parameter-invalid', `${path} is there already; nothing was changed.`, {
        hint: 'Name another directory: molehill init DIR.',
      })
  }
}
