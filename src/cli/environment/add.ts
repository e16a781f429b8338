import type { Command } from 'commander'
import { readSecretFile } from '../../api/access/password-file.ts'
import { terminalPrompt, type Prompt } from '../../api/access/prompt.ts'
import { Problem } from '../../problem.ts'
import { addExamples, type CommonOptions } from '../command.ts'
import { environmentAddedAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { printJson, say, type Terminal } from '../screen/terminal.ts'

interface AddOptions extends CommonOptions, RemoteOptions {
  readonly option: readonly string[]
  readonly secret: readonly string[]
  readonly secretFile: readonly string[]
  readonly replace: boolean
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('keep an environment under a name')
    .description('Keep an environment under a name, for scripts to refer to: .on(NAME).')
    .argument('<name>', 'the name')
    .argument('<kind>', 'its kind: the word that scripts use, such as ssh or slurm')
    .option('--option <key=value>', 'an option of its kind; may be repeated', collect, [])
    .option('--secret <key>', 'a secret option: asks for it; may be repeated', collect, [])
    .option(
      '--secret-file <key=file>',
      'a secret option in a file of mode 0600; may be repeated',
      collect,
      [],
    )
    .option('--replace', 'replace the environment of that name', false)
    .action(async (name: string, kind: string, options: AddOptions) => add(name, kind, options, terminal))
  addExamples(command, [
    'molehill environment add hub ssh --option host=hub.example --option slots=8 --secret password',
    'molehill environment add hub ssh --option host=hub.example --secret-file password=~/.hub --replace',
    'molehill environment add cluster kubernetes --option image=python:3.13-slim --option namespace=simulations',
  ])
  command.addHelpText(
    'after',
    '\nA value that is JSON is taken as such: slots=8 is a number, account=\'"8"\' a text.\n' +
      'Secrets are never taken from the command line: other users of this computer can read that.',
  )
}

async function add(name: string, kind: string, options: AddOptions, terminal: Terminal): Promise<void> {
  const given = Object.fromEntries(options.option.map((text) => readOption(text)))
  const secrets = await readSecrets(options, name, terminalPrompt())
  using session = await connectServer(options, terminal)
  const parameters = { name, kind, replace: String(options.replace) }
  const answer = await session.call(
    'environments/add',
    { ...parameters, options: JSON.stringify(given), secrets: JSON.stringify(secrets) },
    environmentAddedAnswer,
  )
  if (options.json) await printJson(terminal, answer)
  else {
    const when = answer.inUse ? ' Executions use the old one until the server starts again.' : ''
    say(terminal, `Scripts may say .on('${name}') now.${when} Try it: molehill environment check ${name}`)
  }
}

/** `key=value`; what is JSON is taken as such. */
function readOption(text: string): [string, unknown] {
  const [key, value] = split(text, '--option slots=8')
  try {
    return [key, JSON.parse(value)]
  } catch {
    return [key, value]
  }
}

async function readSecrets(
  { secret, secretFile }: AddOptions,
  name: string,
  prompt: Prompt | undefined,
): Promise<Record<string, string>> {
  const secrets: [string, string][] = []
  for (const text of secretFile) {
    const [key, path] = split(text, '--secret-file password=FILE')
    secrets.push([key, await readSecretFile(path)])
  }
  for (const key of secret) {
    // What stands behind the `=` is not repeated: it may be the secret.
    if (key.includes('='))
      throw new Problem(
        'parameter-invalid',
        'Expected --secret with the name of an option, got a value too.',
        {
          hint: 'Other users can read the command line: take another secret, and let the command ask for it.',
        },
      )
    if (prompt === undefined)
      throw new Problem('parameter-missing', `There is no terminal to ask for the secret ${key}.`, {
        hint: `Write it into a file of mode 0600 and name that: --secret-file ${key}=FILE`,
      })
    secrets.push([key, await prompt(`${key} of ${name}: `)])
  }
  return Object.fromEntries(secrets)
}

function split(text: string, example: string): [string, string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new Problem(
    'parameter-invalid',
    `Expected a name, = and a value, as in ${example}; got ${JSON.stringify(text)}.`,
  )
}
