import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { workflowAnswer, type WorkflowAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { formatTable, oneLine } from './screen/table.ts'
import { print, printJson, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<name>', 'the workflow, as molehill catalog list names it')
    .action(async (name: string, options: CommonOptions & RemoteOptions) => describe(name, options, terminal))
  addRemoteOptions(command)
  addExamples(command, ['molehill describe influenza', 'molehill describe influenza --json'])
}

async function describe(
  workflow: string,
  options: CommonOptions & RemoteOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const answer = await session.call('describe', { workflow }, workflowAnswer)
  if (options.json) await printJson(terminal, answer)
  else await print(terminal, describeWorkflow(answer))
}

/** As text: the title, a table of the inputs and one of the outputs. */
export function describeWorkflow({ name, title, description, inputs, outputs }: WorkflowAnswer): string {
  const head = [`${name}: ${title}`, description].filter((line) => line !== '')
  const inputRows = inputs.map((input) => [
    input.name,
    input.type,
    defaultOf(input),
    boundsOf(input),
    (input.values ?? []).map((value) => showValue(value)).join(' | '),
    [input.title === input.name ? '' : input.title, input.description]
      .filter((text) => text !== '')
      .join('. '),
  ])
  const outputRows = outputs.map(({ path, role, title, description }) => [
    path,
    role,
    [title === path ? '' : title, description].filter((text) => text !== '').join('. '),
  ])
  return [
    head.map((line) => `${oneLine(line)}\n`).join(''),
    inputs.length === 0
      ? 'It takes no inputs.\n'
      : formatTable(['input', 'type', 'default', 'bounds', 'values', 'what'], inputRows),
    ...(outputs.length === 0 ? [] : [formatTable(['output', 'role', 'what'], outputRows)]),
  ].join('\n')
}

type Input = WorkflowAnswer['inputs'][number]

function defaultOf(input: Input): string {
  if (input.mandatory) return '(must be given)'
  return showValue(input.default)
}

function boundsOf({ minimum, maximum, formats }: Input): string {
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`
  if (minimum !== undefined) return `at least ${minimum}`
  if (maximum !== undefined) return `at most ${maximum}`
  return formats.map((format) => `.${format}`).join(' ')
}

/** As it is written behind `--input NAME=`. */
function showValue(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? ''
  try {
    JSON.parse(value)
    return JSON.stringify(value)
  } catch {
    return value
  }
}
