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
import { openAuditLog } from '../store/audit-log.ts'
import { openPreferences } from '../store/preferences.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'
import { addServerOptions, splitServerFlags } from './server-options.ts'

interface PasswordOptions extends CommonOptions {
  readonly oldPasswordFile?: string
}

export function define(command: Command, terminal: Terminal): void {
  command.action(async (options: PasswordOptions) => setPassword(options, terminal))
  addServerOptions(command, ['config', 'data-directory', 'password-file'])
  command.option('--old-password-file <path>', 'the old one: needed where secrets are kept under it')
  addExamples(command, [
    'molehill password                               asks for the new one twice',
    'molehill password --password-file ~/.hub-password',
  ])
  command.addHelpText('after', '\nThe server must be stopped. Tokens given out before are void.')
}

async function setPassword(options: PasswordOptions, terminal: Terminal): Promise<void> {
  const { oldPasswordFile, ...others } = options
  const { json, flags } = splitServerFlags(others)
  const { variables, currentDirectory, now } = terminal
  const { values } = await resolveConfiguration({ flags, env: variables, currentDirectory })
  const { dataDirectory, passwordFile } = values
  await prepareDataDirectory(dataDirectory)
  using lock = lockDataDirectory(dataDirectory, now)
  const preferences = await openPreferences(join(dataDirectory, 'preferences.json'), writeFileDurably)
  const password = passwordFile === undefined ? await askPassword() : await readPasswordFile(passwordFile)
  await changePassword({ preferences, hashing: createPasswordHashing() }, password, askOld(oldPasswordFile))
  await tellAudit(dataDirectory, terminal)
  lock.release()
  if (json) await printJson(terminal, { dataDirectory })
  else say(terminal, `The password of ${dataDirectory} is set. Tokens given out before are void.`)
}

/** Where the old password can be had from, if anywhere. */
function askOld(path: string | undefined): (() => Promise<string>) | undefined {
  if (path !== undefined) return () => readPasswordFile(path)
  const prompt = terminalPrompt()
  return prompt && (() => prompt('Old password, for the secrets kept under it: '))
}

async function tellAudit(dataDirectory: string, terminal: Terminal): Promise<void> {
  const audit = await openAuditLog({
    path: join(dataDirectory, 'audit.log'),
    now: terminal.now,
    elapsedMs: () => performance.now(),
    warn: (message) => say(terminal, message),
  })
  audit.record({ action: 'password', outcome: 'ok' })
  await audit.close()
}

async function askPassword(): Promise<string> {
  const prompt = terminalPrompt()
  if (prompt !== undefined) return await askTwice(prompt)
  throw new Problem('password-missing', 'There is no terminal to ask for the password.', {
    hint: 'Write it into a file of mode 0600 and name that with --password-file.',
  })
}
