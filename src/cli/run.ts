import type { Command } from 'commander'
import { setTimeout } from 'node:timers/promises'
import type { Executions, ExecutionState } from '../engine/contract.ts'
import { Problem } from '../problem.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { collectInputs, inputOption, inputsHelp, readInputs } from './inputs.ts'
import { openLocalEngine } from './local-engine.ts'
import { follow, type Watched } from './screen/follow.ts'
import { interruptible } from './screen/interrupts.ts'
import { exitWhenFailed, reportEnd } from './screen/report.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'
import { defaultScript, findWorkDirectory } from './work-directory.ts'

interface RunOptions extends CommonOptions {
  readonly script: string
  readonly input: readonly string[]
  readonly slots?: string
}

const failedExitCode = 1
const lookIntervalMs = 200

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('[directory]', 'the work directory; hooks write into it', '.')
    .option('--script <path>', 'the script, relative to the directory', defaultScript)
    .option(inputOption, 'an input; may be repeated. Files are paths in the directory', collectInputs, [])
    .option('--slots <number>', 'how many jobs run at the same time; else as many as there are cores')
    .action(async (directory: string, options: RunOptions) => run(directory, options, terminal))
  addExamples(command, [
    'molehill run                              run workflow.ts of this directory',
    'molehill run sandpile --script sweep.ts   another directory, another script',
    'molehill run sandpile --input size=50     with another input than its default',
    'molehill run sandpile --json > run.json   counts and output as JSON',
  ])
  command.addHelpText(
    'after',
    `${inputsHelp}\n` +
      '\nCtrl-C asks the execution to stop; a second one leaves at once.' +
      '\nExit codes: 0 finished, 1 failed, 2 something is missing, 3 the script gives no workflow, 130 Ctrl-C.',
  )
}

async function run(named: string, options: RunOptions, terminal: Terminal): Promise<void> {
  const { script, slots, json } = options
  const directory = await findWorkDirectory(named, terminal)
  const { values: inputs, files } = await readInputs(options.input, terminal.currentDirectory)
  const [file] = files
  if (file !== undefined)
    throw new Problem('parameter-invalid', 'Expected a path in the directory, got a file to send.', {
      hint: `Copy it into ${directory}, and name it there: --input ${file.name}=FILE, without the @.`,
    })
  let dataDirectory = ''
  const work = async (signal: AbortSignal) => {
    await using engine = await openLocalEngine(terminal, { slots })
    const { executions } = engine
    ;({ dataDirectory } = engine)
    const id = await executions.start({ script, directory, inputs, signal })
    await using _cancelling = cancelWhenAborted(executions, id, signal)
    const end = await follow(terminal, watch(executions, id), { output: !json })
    const state = executions.state(id)
    if (json) await printJson(terminal, { ...state, output: await executions.output(id) })
    if (signal.aborted) say(terminal, 'Stopped.')
    else reportEnd(terminal, end, (state.endedAt ?? terminal.now()) - state.startedAt)
    signal.throwIfAborted()
    exitWhenFailed(end, failedExitCode)
  }
  await interruptible(work, {
    first: () => say(terminal, 'Stopping the execution. Press Ctrl-C again to leave at once.'),
    second: () => say(terminal, `Left at once. ${dataDirectory} may still be there.`),
  })
}

/** Asks the execution to stop when the signal says so; disposing waits until it has. */
function cancelWhenAborted(executions: Executions, id: string, signal: AbortSignal): AsyncDisposable {
  let cancelling: Promise<void> | undefined
  const cancel = () => {
    cancelling = executions.cancel(id)
    // Whoever disposes hears of a failure.
    cancelling.catch(() => undefined)
  }
  if (signal.aborted) cancel()
  else signal.addEventListener('abort', cancel, { once: true })
  return {
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', cancel)
      await cancelling
    },
  }
}

function watch(executions: Executions, id: string): Watched {
  return {
    progress: async () => describe(executions.state(id)),
    output: () => executions.output(id),
    async wait() {
      const looked = new AbortController()
      const { signal } = looked
      const pauses = [executions.ended(id, signal), setTimeout(lookIntervalMs, undefined, { signal })]
      try {
        await Promise.race(pauses)
      } finally {
        looked.abort()
        await Promise.allSettled(pauses)
      }
    },
  }
}

function describe({ state, capsules, error }: ExecutionState) {
  return { state, capsules, error }
}
