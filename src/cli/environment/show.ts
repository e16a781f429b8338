import type { Command } from 'commander'
import { Problem } from '../../problem.ts'
import { addExamples, type CommonOptions } from '../command.ts'
import { environmentsAnswer, type EnvironmentAnswer } from '../remote/answers.ts'
import { connectServer, type RemoteOptions } from '../remote/remote-options.ts'
import { oneLine } from '../screen/table.ts'
import { print, printJson, type Terminal } from '../screen/terminal.ts'
import { describeHealth } from './health.ts'

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('show one environment')
    .description(
      'Show an environment: its options, what it can do, its health and its jobs. Secrets are not shown.',
    )
    .argument('<name>', 'the environment')
    .action(async (name: string, options: CommonOptions & RemoteOptions) => show(name, options, terminal))
  addExamples(command, ['molehill environment show hub', 'molehill environment show hub --json'])
}

async function show(name: string, options: CommonOptions & RemoteOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const { environments } = await session.call('environments', {}, environmentsAnswer)
  const found = environments.find((each) => each.name === name)
  if (found === undefined)
    throw new Problem('environment-unknown', `There is no environment named ${JSON.stringify(name)}.`, {
      hint: 'molehill environment list shows those that there are.',
    })
  if (options.json) await printJson(terminal, found)
  else await print(terminal, describe(found, terminal.now()))
}

function describe(environment: EnvironmentAnswer, now: number): string {
  const { name, kind, options, secrets, capabilities, health, jobs, hosts } = environment
  const lines: [string, string][] = [
    ['name', name],
    ['kind', kind],
    ...Object.entries(options).map(([key, value]): [string, string] => [
      `option ${key}`,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
    ...secrets.map((key): [string, string] => [`option ${key}`, '(secret)']),
    ['health', `${describeHealth(health, now)}${health.state === 'bad' ? '' : `. ${health.message}`}`],
    [
      'jobs',
      Object.entries(jobs)
        .map(([state, count]) => `${count} ${state}`)
        .join(', '),
    ],
  ]
  if (capabilities !== undefined)
    lines.push(
      ['jobs at most', describeLimit(capabilities)],
      ['resources', capabilities.resources.join(', ')],
      ['jobs survive a restart', capabilities.survivesRestart ? 'yes' : 'no'],
      ['shares our files', capabilities.sharedFileSystem ? 'yes' : 'no'],
    )
  for (const host of hosts) lines.push([`host ${host.name}`, host.description])
  const width = Math.max(...lines.map(([key]) => key.length))
  return lines.map(([key, value]) => `${oneLine(key).padEnd(width)}  ${oneLine(value)}\n`).join('')
}

function describeLimit({ maxActiveJobs, slots }: NonNullable<EnvironmentAnswer['capabilities']>): string {
  return slots === undefined ? String(maxActiveJobs) : `${maxActiveJobs}, of which ${slots} run at once`
}
