import type { Command } from 'commander'
import { resolveConfiguration } from '../config/configuration.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { computerChecks, isolationCheck } from './doctor/computer.ts'
import { dataChecks } from './doctor/data.ts'
import { environmentChecks } from './doctor/environments.ts'
import { runChecks, type Finding } from './doctor/findings.ts'
import { Exit } from './screen/failure.ts'
import { oneLine } from './screen/table.ts'
import { paint, print, printJson, type Terminal } from './screen/terminal.ts'
import { addServerOptions, splitServerFlags } from './server-options.ts'

export function define(command: Command, terminal: Terminal): void {
  command.action(async (options: CommonOptions) => examine(options, terminal))
  addServerOptions(command)
  addExamples(command, [
    'molehill doctor                                       as the server would start here',
    'molehill doctor --data-directory /srv/molehill --json',
  ])
  command.addHelpText('after', '\nGive the options of the server. Ends with 1 when something is wrong.')
}

/** Says of each thing that a server needs whether it is fine, and what to do where it is not. */
async function examine(options: CommonOptions, terminal: Terminal): Promise<void> {
  const { json, flags } = splitServerFlags(options)
  const { variables, currentDirectory, now } = terminal
  const { values } = await resolveConfiguration({ flags, env: variables, currentDirectory })
  const checks = [
    ...computerChecks(process.versions.node, variables),
    isolationCheck(values, variables),
    ...dataChecks(values, now),
    ...(await environmentChecks(values, variables, now)),
  ]
  const tell = async (finding: Finding) => {
    if (!json) await print(terminal, describe(finding, terminal))
  }
  const findings = await runChecks(checks, tell)
  const isFine = findings.every((finding) => finding.isFine)
  if (json) await printJson(terminal, { isFine, findings })
  if (!isFine) throw new Exit(1)
}

function describe({ name, isFine, text, hint }: Finding, terminal: Terminal): string {
  const verdict = isFine ? 'ok' : 'WRONG'
  const colour = isFine ? 'green' : 'red'
  const shown = paint(terminal, terminal.stdout, colour, verdict.padEnd(5))
  const advice = hint === undefined ? '' : ` ${oneLine(hint)}`
  return `${shown}  ${name.padEnd(18)} ${oneLine(text)}${advice}\n`
}
