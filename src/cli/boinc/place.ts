import { mkdir } from 'node:fs/promises'
import { resolveConfiguration } from '../../config/configuration.ts'
import { prepareDataDirectory } from '../../config/data-directory.ts'
import type { Configuration } from '../../config/options.ts'
import { volunteerDirectories } from '../../config/volunteer-project.ts'
import { openAccounts, type Accounts } from '../../volunteers/accounts.ts'
import { openKeys } from '../../volunteers/keys.ts'
import type { CommonOptions } from '../command.ts'
import type { Terminal } from '../screen/terminal.ts'
import { splitServerFlags } from '../server-options.ts'

export interface Place extends ReturnType<typeof volunteerDirectories> {
  readonly configuration: Configuration
}

/** Where the server keeps what belongs to volunteers. The flags are those that the server has as well. */
export async function findPlace(
  options: CommonOptions,
  { variables, currentDirectory }: Terminal,
): Promise<Place> {
  const { flags } = splitServerFlags(options)
  const { values } = await resolveConfiguration({ flags, env: variables, currentDirectory })
  return { ...volunteerDirectories(values), configuration: values }
}

/** Opens the accounts, which may not be there yet. The server may have them open too. */
export async function openPlace(place: Place, { now }: Terminal): Promise<Accounts> {
  await prepareDataDirectory(place.configuration.dataDirectory)
  await mkdir(place.directory, { recursive: true, mode: 0o700 })
  const { accountSecret } = await openKeys(place.keys)
  return openAccounts(place.database, accountSecret, now)
}
