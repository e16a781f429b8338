import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { SshServer } from '../daemons/ssh-server.ts'

/** Options of an environment that reach a test's SSH server, and nothing of the user's own configuration. */
export interface SshAccount {
  readonly options: {
    readonly host: string
    readonly user: string
    readonly port: number
    readonly identityFile: string
    readonly knownHostsFile: string
    readonly configFile: string
  }
  /** A base directory for the environment that keeps its own files in `directory`: ids of trials repeat. */
  workDirectory(directory: string): string
  remove(): void
}

export function sshAccount(server: SshServer): SshAccount {
  const directory = mkdtempSync(join(tmpdir(), 'molehill-test-account-'))
  const configFile = join(directory, 'config')
  writeFileSync(configFile, '')
  const { host, user, port, identityFile, knownHostsFile } = server
  return {
    options: { host, user, port, identityFile, knownHostsFile, configFile },
    workDirectory: (directory) => `~/${basename(dirname(directory))}`,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}
