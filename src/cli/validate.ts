import type { Command } from 'commander'
import type { Plan } from '../workflow/plan.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { openLocalEngine } from './local-engine.ts'
import { graphAnswer, type GraphAnswer } from './remote/answers.ts'
import { openArchiveSource } from './remote/archive-source.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { interruptible } from './screen/interrupts.ts'
import { formatTable } from './screen/table.ts'
import { print, printJson, say, type Terminal } from './screen/terminal.ts'
import { defaultScript, findWorkDirectory } from './work-directory.ts'

interface ValidateOptions extends CommonOptions, RemoteOptions {
  readonly script: string
}

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('[directory]', 'the work directory', '.')
    .option('--script <path>', 'the script, relative to the directory', defaultScript)
    .action(async (directory: string, options: ValidateOptions) => validate(directory, options, terminal))
  addRemoteOptions(command)
  addExamples(command, [
    'molehill validate                              check workflow.ts of this directory, here',
    'molehill validate sandpile --script sweep.ts   another directory, another script',
    'molehill validate --server https://hub:8443    let a server check it',
    'molehill validate --json > plan.json           the workflow as plain data',
  ])
}

async function validate(named: string, options: ValidateOptions, terminal: Terminal): Promise<void> {
  const { script, json } = options
  const { workflow, table } = await interruptible((signal) =>
    options.server === undefined
      ? validateHere(named, script, terminal, signal)
      : validateThere(named, options, terminal, signal),
  )
  if (json) {
    await printJson(terminal, workflow)
    return
  }
  await print(terminal, table)
  say(terminal, `${script} gives a workflow.`)
}

interface Validated {
  /** Plain data, in the form that this side has it in. */
  readonly workflow: unknown
  readonly table: string
}

async function validateHere(
  named: string,
  script: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Validated> {
  const directory = await findWorkDirectory(named, terminal)
  await using engine = await openLocalEngine(terminal)
  const plan = await engine.executions.validate({ script, directory, signal })
  return { workflow: plan, table: tableOfPlan(plan) }
}

async function validateThere(
  named: string,
  options: ValidateOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Validated> {
  const source = await openArchiveSource(named, terminal)
  using session = await connectServer(options, terminal)
  const makeForm = () => ({ fields: { script: options.script }, files: [source()] })
  const graph = await session.post('validate', makeForm, graphAnswer, signal)
  return { workflow: graph, table: tableOfGraph(graph) }
}

interface CapsuleInWords {
  readonly name: string
  readonly task: string
  readonly inputs: readonly { readonly name: string }[]
  readonly outputs: readonly { readonly name: string }[]
  readonly environment: string
}

function tableOfPlan({ steps, environments }: Plan): string {
  const capsules = steps.filter((step) => step.kind === 'capsule')
  return tableOfCapsules(
    capsules.map(({ name, task: { kind, inputs, outputs }, environments: places }) => ({
      name,
      task: kind,
      inputs,
      outputs,
      environment: places.map((index) => environments[index]?.name).join(', '),
    })),
  )
}

function tableOfGraph({ steps }: GraphAnswer): string {
  return tableOfCapsules(steps.filter(({ kind }) => kind === 'capsule'))
}

function tableOfCapsules(capsules: readonly CapsuleInWords[]): string {
  const names = (values: CapsuleInWords['inputs']) => values.map(({ name }) => name).join(' ')
  return formatTable(
    ['capsule', 'task', 'receives', 'returns', 'environment'],
    capsules.map(({ name, task, inputs, outputs, environment }) => [
      name,
      task,
      names(inputs),
      names(outputs),
      environment,
    ]),
  )
}
