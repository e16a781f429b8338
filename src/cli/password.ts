import type { Command } from 'commander'
import { join } from 'node:path'
import { askTwice, changePassword } from '../api/access/obtain-password.ts'
import { createPasswordHashing } from '../api/access/password.ts'
import { readPasswordFile } from '../api/access/password-file.ts'
import { terminalPrompt } from '../api/access/prompt.ts'
import { resolveConfiguration } from '../config/configuration.ts'
import { prepareDataDirectory } from '../config/data-directory.ts'
import { lockDataDirectory } from '../config/data-directory-lock.ts'
import { writeFileDurably } from '../files/durable-file.ts'
import { Problem } from '../problem.ts'
import { openPreferences } from '../store/preferences.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'
import { addServerOptions, splitServerFlags } from './server-options.ts'

export function define(command: Command, terminal: Terminal): void {
  command.action(async (options: CommonOptions) => setPassword(options, terminal))
  addServerOptions(command, ['config', 'data-directory', 'password-file'])
  addExamples(command, [
    'molehill password                               asks for the new one twice',
    'molehill password --password-file ~/.hub-password',
  ])
  command.addHelpText('after', '\nThe server must be stopped. Tokens given out before are void.')
}

async function setPassword(options: CommonOptions, terminal: Terminal): Promise<void> {
  const { json, flags } = splitServerFlags(options)
  const { variables, currentDirectory, now } = terminal
  const { values } = await resolveConfiguration({ flags, env: variables, currentDirectory })
  const { dataDirectory, passwordFile } = values
  await prepareDataDirectory(dataDirectory)
  using lock = lockDataDirectory(dataDirectory, now)
  const preferences = await openPreferences(join(dataDirectory, 'preferences.json'), writeFileDurably)
  const password = passwordFile === undefined ? await askPassword() : await readPasswordFile(passwordFile)
  await changePassword({ preferences, hashing: createPasswordHashing() }, password)
  lock.release()
  if (json) await printJson(terminal, { dataDirectory })
  else say(terminal, `The password of ${dataDirectory} is set. Tokens given out before are void.`)
}

async function askPassword(): Promise<string> {
  const prompt = terminalPrompt()
  if (prompt !== undefined) return await askTwice(prompt)
  throw new Problem('password-missing', 'There is no terminal to ask for the password.', {
    hint: 'Write it into a file of mode 0600 and name that with --password-file.',
  })
}
