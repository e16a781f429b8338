import type { Command } from 'commander'
import { number, duration } from '../../config/option-kinds.ts'
import { Problem } from '../../problem.ts'
import { addExamples, type CommonOptions } from '../command.ts'
import { print, printJson, say, type Terminal } from '../screen/terminal.ts'
import { findPlace, openPlace } from './place.ts'
import { readUrl } from './url.ts'

interface InviteOptions extends CommonOptions {
  readonly uses: string
  readonly for: string
}

const usesKind = number({ minimum: 1, maximum: 1_000_000 })
const spanKind = duration({ minimum: 60_000, maximum: 10 * 365 * 86_400_000 })

export function define(command: Command, terminal: Terminal): void {
  command
    .summary('make an invitation, with which volunteers make their accounts')
    .description('Make an invitation and print the link to follow. Its text is shown this once.')
    .option('--uses <number>', 'how many accounts may be made with it', '1')
    .option('--for <duration>', 'how long it is good', '14d')
    .action(async (options: InviteOptions) => invite(options, terminal))
  addExamples(command, ['molehill boinc invite', 'molehill boinc invite --uses 30 --for 90d'])
}

async function invite(options: InviteOptions, terminal: Terminal): Promise<void> {
  const { uses: usesText, for: spanText, ...others } = options
  const uses = read('uses', usesText, usesKind)
  const spanMs = read('for', spanText, spanKind)
  const place = await findPlace(others, terminal)
  using accounts = await openPlace(place, terminal)
  const endsAt = terminal.now() + spanMs
  const invitation = accounts.invite(uses, endsAt)
  const url = `${readUrl(place)}join?invitation=${invitation}`
  if (options.json) {
    await printJson(terminal, { invitation, url, uses, endsAt })
    return
  }
  await print(terminal, `${url}\n`)
  say(terminal, `It is good for ${uses} accounts until ${new Date(endsAt).toISOString()}.`)
}

function read(name: string, text: string, kind: Pick<typeof usesKind, 'schema' | 'expected'>): number {
  const read = kind.schema.safeParse(text)
  if (read.success) return read.data
  throw new Problem(
    'parameter-invalid',
    `Expected ${kind.expected} as --${name}, got ${JSON.stringify(text.slice(0, 100))}.`,
  )
}
