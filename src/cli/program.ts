import { Command, CommanderError, type Option } from 'commander'
import { problems } from '../problem.ts'
import { addExamples } from './command.ts'
import { commands } from './commands.ts'
import { findInstallation } from './installation.ts'
import { tellFailure } from './screen/failure.ts'
import { print, type Terminal } from './screen/terminal.ts'

/**
 * Runs one command line, without the program's own name. Resolves with the exit code; nothing is thrown.
 */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  const texts: string[] = []
  try {
    const program = await makeProgram(words, terminal, (text) => texts.push(text))
    await program.parseAsync([...words], { from: 'user' })
    return 0
  } catch (error) {
    // What commander ends the program for, it has already told: help, the version, or what is wrong with the words.
    if (error instanceof CommanderError)
      return error.exitCode === 0 ? 0 : problems['parameter-invalid'].exitCode
    const has = (flag: string) => words.includes(flag)
    return tellFailure(terminal, error, { json: has('--json'), verbose: has('--verbose') })
  } finally {
    await print(terminal, texts.join(''))
  }
}

async function makeProgram(
  words: readonly string[],
  terminal: Terminal,
  writeOut: (text: string) => void,
): Promise<Command> {
  const program = new Command('molehill')
  program
    .description('Runs workflows: many jobs, joined by data, here or behind a server.')
    .version(findInstallation().version, '--version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut,
      writeErr: (text) => terminal.stderr.write(text),
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({ optionDescription: describeOption })
    .showHelpAfterError('hint: molehill --help lists the commands.')
  addExamples(program, [
    'molehill init sandpile                          make a directory to start from',
    'molehill run sandpile                           run its workflow.ts here, without a server',
    'molehill serve                                  start the server',
    'molehill token --server https://hub:8443        log in to it',
    'molehill start sandpile --follow                send the directory there and watch',
  ])
  const meant = words[0] === 'help' ? words[1] : words[0]
  for (const { name, summary, load } of commands) {
    const command = program
      .command(name)
      .summary(summary)
      .description(`${summary[0]?.toUpperCase()}${summary.slice(1)}.`)
      .showHelpAfterError(`hint: molehill ${name} --help shows what it takes.`)
    if (name === meant) {
      const { define } = await load()
      define(command, terminal)
      addCommonOptions(command)
    }
  }
  return program
}

function addCommonOptions(command: Command): void {
  for (const each of command.commands.length > 0 ? command.commands : [command])
    each.option('--json', 'print JSON', false).option('--verbose', 'show the stack of an error', false)
}

function describeOption({ description, defaultValue }: Option): string {
  const isNothing = Array.isArray(defaultValue) && defaultValue.length === 0
  const hasDefault = defaultValue !== undefined && defaultValue !== false && !isNothing
  return hasDefault ? `${description} (else ${String(defaultValue)})` : description
}
