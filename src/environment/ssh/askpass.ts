import { execFile } from 'node:child_process'
import { closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { quote } from '../quote.ts'
import type { SshOptions } from './options.ts'

/** How often ssh may ask for one secret while it makes a connection. */
const mostQuestions = 8

/**
 * Hands a password and a passphrase to ssh: ssh starts the program that SSH_ASKPASS names, which reads a named pipe
 * that we hold open. So a secret stands in no argument, no variable and no file. The password is given only to the
 * user and host that it is for, not to one on the way.
 */
export class Askpass {
  readonly variables: Readonly<Record<string, string>>
  readonly #secrets: readonly { readonly pipe: string; readonly secret: string }[]
  #open: readonly number[] = []

  private constructor(program: string, secrets: readonly { pipe: string; secret: string }[]) {
    this.variables = { SSH_ASKPASS: program, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':none' }
    this.#secrets = secrets
  }

  /** Makes program and pipes in a private directory. `account` is the `user@host` that ssh asks for. */
  static async prepare(
    directory: string,
    { password, passphrase, identityFile }: SshOptions,
    account: string,
  ): Promise<Askpass> {
    const secrets: { pipe: string; secret: string }[] = []
    const cases: string[] = []
    const add = async (name: string, secret: string | undefined, pattern: string) => {
      if (secret === undefined) return
      const pipe = join(directory, name)
      await promisify(execFile)('mkfifo', ['-m', '600', '--', pipe])
      secrets.push({ pipe, secret })
      cases.push(`  ${pattern}) IFS= read -r secret <${quote(pipe)} && printf '%s\\n' "$secret" ;;`)
    }
    const key = identityFile?.replace(/^~\//, '/')
    await add('passphrase', passphrase, `*assphrase*${key === undefined ? '' : `${quote(key)}*`}`)
    await add('password', password, `*${quote(account)}*assword*`)
    const program = join(directory, 'askpass')
    const lines = ['#!/bin/bash', 'case $1 in', ...cases, '  *) exit 1 ;;', 'esac', '']
    writeFileSync(program, lines.join('\n'), { mode: 0o700 })
    return new Askpass(program, secrets)
  }

  /** Fills the pipes: for the time in which a connection is made. */
  fill(): void {
    this.empty()
    this.#open = this.#secrets.map(({ pipe, secret }) => {
      const descriptor = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)
      for (let count = 0; count < mostQuestions; count += 1) writeSync(descriptor, `${secret}\n`)
      return descriptor
    })
  }

  /** What a pipe holds is gone when nobody has it open. */
  empty(): void {
    for (const descriptor of this.#open) closeSync(descriptor)
    this.#open = []
  }
}
