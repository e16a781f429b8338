import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Enclosure } from './enclosure.ts'
import { runCommand } from './run-command.ts'

/** The account that visitors and jobs of daemons run as; `scripts/install-services` makes it. */
export interface Account {
  readonly user: string
  readonly userId: number
  readonly groupId: number
}

export const accountName = 'molehill-test'

/** @throws Error when the account is not there */
export async function readAccount(): Promise<Account> {
  const line = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .find((each) => each.startsWith(`${accountName}:`))
  if (line === undefined) throw new Error(`no account ${accountName}: run scripts/install-services as root`)
  const [user = '', , userId, groupId] = line.split(':')
  return { user, userId: Number(userId), groupId: Number(groupId) }
}

/** Gives the account a new home and perhaps a password, in this enclosure only. Makes the home when it is not there. */
export async function settleAccount(
  enclosure: Enclosure,
  { home, password }: { home: string; password?: string | undefined },
): Promise<Account> {
  const account = await readAccount()
  const secret =
    password === undefined
      ? '*'
      : await runCommand(['perl', '-e', 'print crypt($ARGV[0], q($6$molehill$))', password])
  await replaceInside(enclosure, 'passwd', 0o644, (fields) => (fields[5] = home))
  await replaceInside(enclosure, 'shadow', 0o600, (fields) => (fields[1] = secret))
  return account
}

/** Makes a directory that belongs to the account. */
export async function makeOwned(path: string, { userId, groupId }: Account): Promise<void> {
  await mkdir(path, { recursive: true })
  await chown(path, userId, groupId)
}

async function replaceInside(
  enclosure: Enclosure,
  name: 'passwd' | 'shadow',
  mode: number,
  change: (fields: string[]) => void,
): Promise<void> {
  // the enclosure's own, which may have another root
  const lines = (await readFile(`/proc/${enclosure.firstProcess}/root/etc/${name}`, 'utf8'))
    .split('\n')
    .map((line) => {
      if (!line.startsWith(`${accountName}:`)) return line
      const fields = line.split(':')
      change(fields)
      return fields.join(':')
    })
  const own = join(enclosure.directory, name)
  await writeFile(own, lines.join('\n'), { mode })
  await enclosure.run(['mount', '--bind', own, `/etc/${name}`])
}
