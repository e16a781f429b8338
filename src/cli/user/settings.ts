import type { Command } from 'commander'
import { formatBytes, parseBytes } from '../../config/quantity.ts'
import { Problem } from '../../problem.ts'
import type { CommonOptions } from '../command.ts'
import type { RemoteOptions } from '../remote/remote-options.ts'

/** What `add` and `change` take of a user. */
export interface SettingOptions extends CommonOptions, RemoteOptions {
  readonly submitter?: boolean
  readonly workflows?: string
  readonly storage?: string
  readonly runningJobs?: string
  readonly queuedJobs?: string
  readonly identity?: readonly string[]
}

export function addSettings(command: Command): void {
  command
    .option('--submitter', 'his keys are authenticators for the remote submission of BOINC')
    .option('--no-submitter', 'they are not')
    .option('--workflows <catalog|any>', 'which he may start: of the catalog only, or also such of his own')
    .option('--storage <size|none>', 'how much is kept of him, such as 20GiB; none: what holds for all')
    .option('--running-jobs <number|none>', 'how many of his jobs run at the same time')
    .option('--queued-jobs <number|none>', 'with so many of his jobs waiting, nothing more is started')
    .option(
      '--identity <issuer subject...>',
      'who he is at an OpenID Connect provider: its issuer, his subject',
    )
}

/** As the server's routes take them. */
export function readSettings(options: SettingOptions): Readonly<Record<string, string | undefined>> {
  const { submitter, workflows, storage, runningJobs, queuedJobs, identity } = options
  if (identity !== undefined && identity.length !== 2)
    throw new Problem(
      'parameter-invalid',
      `Expected an issuer and a subject for --identity, got ${identity.length} words.`,
      { hint: '--identity https://idp.example 7f3a, after the name of the user' },
    )
  const [issuer, subject] = identity ?? []
  return {
    submitter: submitter === undefined ? undefined : String(submitter),
    workflows,
    storedBytes: storage === undefined || storage === 'none' ? storage : readBytes(storage),
    runningJobs,
    queuedJobs,
    issuer,
    subject,
  }
}

/** For a table: 20 GiB as `20GiB`, no limit as nothing. */
export function showBytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatBytes(bytes)
}

function readBytes(text: string): string {
  const bytes = parseBytes(text)
  if (bytes !== undefined) return String(Math.floor(bytes))
  throw new Problem(
    'parameter-invalid',
    `Expected a size such as 512M or 20GiB for --storage, got ${JSON.stringify(text)}.`,
  )
}
