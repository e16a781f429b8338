import type { Command } from 'commander'
import { addExamples, type CommonOptions } from '../command.ts'
import { formatTable } from '../screen/table.ts'
import { print, printJson, say, type Terminal } from '../screen/terminal.ts'
import { addServerOptions } from '../server-options.ts'
import { findPlace, openPlace } from './place.ts'
import { readUrl } from './url.ts'

export function define(command: Command, terminal: Terminal): void {
  command.summary('add, list and remove accounts of volunteers')
  const sub = (name: string, summary: string) =>
    addServerOptions(command.command(name).summary(summary), ['config', 'data-directory'])
  sub('add', 'add a volunteer')
    .description('Add a volunteer and print the key with which he attaches his computers.')
    .argument('<name>', 'the name, as others see it')
    .action(async (name: string, _: unknown, self: Command) => add(name, self.optsWithGlobals(), terminal))
  sub('list', 'list the volunteers').action(async (_: unknown, self: Command) =>
    list(self.optsWithGlobals(), terminal),
  )
  sub('remove', 'remove a volunteer: his key is void at once')
    .argument('<name>', 'the name, or the e-mail address')
    .action(async (name: string, _: unknown, self: Command) => remove(name, self.optsWithGlobals(), terminal))
  addExamples(command, [
    'molehill boinc account add ann',
    'molehill boinc account list --json',
    'molehill boinc account remove ann',
  ])
}

async function add(name: string, options: CommonOptions, terminal: Terminal): Promise<void> {
  const place = await findPlace(options, terminal)
  using accounts = await openPlace(place, terminal)
  const account = accounts.add(name)
  const key = accounts.authenticatorOf(account)
  const url = readUrl(place)
  if (options.json) {
    await printJson(terminal, { id: account.id, name, key, url })
    return
  }
  await print(terminal, `${key}\n`)
  say(terminal, `On each of his computers: boinccmd --project_attach ${url} ${key}`)
}

async function list(options: CommonOptions, terminal: Terminal): Promise<void> {
  const place = await findPlace(options, terminal)
  using accounts = await openPlace(place, terminal)
  const all = accounts.list()
  if (options.json) {
    await printJson(terminal, { accounts: all })
    return
  }
  if (all.length === 0) {
    say(terminal, 'There are none. Add one: molehill boinc account add NAME')
    return
  }
  const rows = all.map(({ id, name, email = '', createdAt }) => [
    String(id),
    name,
    email,
    new Date(createdAt).toISOString(),
  ])
  await print(terminal, formatTable(['id', 'name', 'e-mail', 'since'], rows))
}

async function remove(name: string, options: CommonOptions, terminal: Terminal): Promise<void> {
  const place = await findPlace(options, terminal)
  using accounts = await openPlace(place, terminal)
  accounts.remove(name)
  if (options.json) await printJson(terminal, { name })
  else say(terminal, 'The key is void.')
}
