import type { Command } from 'commander'
import { resolve } from 'node:path'
import { prepareDataDirectory } from '../../config/data-directory.ts'
import { moveCodeSignKey, rotateCodeSignKey } from '../../volunteers/key-files.ts'
import { openKeys } from '../../volunteers/keys.ts'
import { makeNextUploadKey } from '../../volunteers/upload-keys.ts'
import { addExamples, type CommonOptions } from '../command.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'
import { findPlace } from './place.ts'

interface KeysOptions extends CommonOptions {
  readonly offline?: string
  readonly rotate?: boolean
  readonly rotateUpload?: boolean
}

export function define(command: Command, terminal: Terminal): void {
  command
    .summary("make, move or change the keys for volunteers' hosts")
    .description(
      "Make the keys that are not there yet. Whoever has the code signing key can have programs run on volunteers' hosts: it may be kept elsewhere.",
    )
    .option('--offline <directory>', 'keep the code signing key there, not on the server')
    .option('--rotate', 'put a new code signing key in the place of the one in use, which signs it')
    .option('--rotate-upload', 'make a new upload key, which the server takes at its next start')
    .action(async (options: KeysOptions) => handleKeys(options, terminal))
  addExamples(command, [
    'molehill boinc keys',
    'molehill boinc keys --offline ~/molehill-key',
    'molehill boinc keys --rotate --offline ~/molehill-key',
    'molehill boinc keys --rotate-upload',
  ])
}

async function handleKeys(
  { offline, rotate, rotateUpload, ...others }: KeysOptions,
  terminal: Terminal,
): Promise<void> {
  const place = await findPlace(others, terminal)
  await prepareDataDirectory(place.configuration.dataDirectory)
  const elsewhere = offline === undefined ? undefined : resolve(terminal.currentDirectory, offline)
  if (rotate === true) {
    // What has not been moved there yet is, ahead of the change.
    if (elsewhere !== undefined) await moveCodeSignKey(place.keys, elsewhere)
    await rotateCodeSignKey(elsewhere ?? place.keys, terminal.now)
  }
  if (elsewhere !== undefined) await moveCodeSignKey(place.keys, elsewhere)
  if (rotateUpload === true) await makeNextUploadKey(place.keys)
  const { announcement, canSign } = await openKeys(place.keys)
  if (others.json) {
    await printJson(terminal, { directory: place.keys, canSign, codeSignKey: announcement.key })
    return
  }
  say(terminal, `The keys are in ${place.keys}.`)
  if (elsewhere !== undefined)
    say(
      terminal,
      `The code signing key is in ${elsewhere} only. Keep a copy: without it no program can be signed.`,
    )
  else if (canSign)
    say(
      terminal,
      'The code signing key is among them. To keep it elsewhere: molehill boinc keys --offline DIRECTORY',
    )
  if (rotateUpload === true)
    say(terminal, 'Restart the server: it takes the new upload key, and knows the one before.')
  if (rotate === true)
    say(terminal, 'Restart the server. Programs that were signed elsewhere must be signed anew.')
}
