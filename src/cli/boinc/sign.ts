import type { Command } from 'commander'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { signProgram } from '../../volunteers/key-files.ts'
import { addExamples, type CommonOptions } from '../command.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'
import { findPlace } from './place.ts'

interface SignOptions extends CommonOptions {
  readonly offline?: string
}

export function define(command: Command, terminal: Terminal): void {
  command
    .summary("sign programs for volunteers' hosts")
    .description(
      'Sign programs with the code signing key. The signatures go beside the key, and to the server where its data directory is on this computer.',
    )
    .argument('<file...>', 'the programs')
    .option('--offline <directory>', 'where the key is; else among the keys of the server')
    .action(async (files: readonly string[], options: SignOptions) => sign(files, options, terminal))
  addExamples(command, ['molehill boinc sign --offline ~/molehill-key launcher node'])
}

async function sign(
  files: readonly string[],
  { offline, ...others }: SignOptions,
  terminal: Terminal,
): Promise<void> {
  const { keys } = await findPlace(others, terminal)
  const directory = offline === undefined ? keys : resolve(terminal.currentDirectory, offline)
  const server = existsSync(keys) && directory !== keys ? keys : undefined
  const signed: { readonly file: string; readonly md5: string; readonly path: string }[] = []
  for (const file of files) {
    const path = resolve(terminal.currentDirectory, file)
    signed.push({ file: path, ...(await signProgram(path, { directory, server })) })
  }
  if (others.json) {
    await printJson(terminal, { signed })
    return
  }
  for (const { file, path } of signed) say(terminal, `${file} is signed: ${path}`)
  if (server === undefined && directory !== keys)
    say(terminal, 'Copy these into volunteers/keys/signatures of the data directory of the server.')
}
