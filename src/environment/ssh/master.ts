import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Agent, AgentGone } from './agent.ts'
import { Askpass } from './askpass.ts'
import {
  configurationText,
  masterArguments,
  resolveArguments,
  type ConnectionFiles,
} from './configuration.ts'
import { readFailure, type SshFailure } from './failure.ts'
import { adviceForUnknownHost } from './known-hosts.ts'
import type { SshOptions } from './options.ts'
import { startSsh } from './ssh-process.ts'

export type Variables = Readonly<Record<string, string>>

/** A connection that stands: the process that holds it is the one of the first agent. */
export interface Master {
  readonly files: ConnectionFiles
  readonly agent: Agent
  readonly askpass: Askpass | undefined
  /** Removes the private directory. */
  dispose(): Promise<void>
}

/** The connection cannot be made. Its message holds all of the failure. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError'
  readonly failure: SshFailure

  constructor(failure: SshFailure, more = '') {
    super(`${failure.message} ${failure.fix}${more}`)
    this.failure = failure
  }
}

/** Besides the time that ssh itself gives the host: for a login profile. */
const patienceMs = 30_000
/** What a login prints may tell why it ended. */
const mostPrinted = 4096
/** The exit code by which ssh tells of its own failures; any other is that of the login. See ssh(1). */
const sshFault = 255

/** Makes the connection. Throws ConnectError. */
export async function openMaster(
  name: string,
  options: SshOptions,
  variables: Variables,
  signal: AbortSignal,
): Promise<Master> {
  // A socket's path has at most 108 bytes, of which ssh wants 18 for itself.
  const directory = await mkdtemp(join(tmpdir().length > 50 ? '/tmp' : tmpdir(), 'molehill-ssh-'))
  const dispose = () => rm(directory, { recursive: true, force: true })
  const files = { configuration: join(directory, 'config'), socket: join(directory, 's') }
  try {
    await writeFile(files.configuration, configurationText(options), { mode: 0o600 })
    const askpass = await prepareAskpass(directory, options, files, variables)
    askpass?.fill()
    try {
      const agent = await greet(name, options, files, { ...variables, ...askpass?.variables }, signal)
      return { files, agent, askpass, dispose }
    } finally {
      askpass?.empty()
    }
  } catch (error) {
    const failure = await explain(error, name, options, files, variables)
    await dispose()
    throw failure
  }
}

async function greet(
  name: string,
  options: SshOptions,
  files: ConnectionFiles,
  variables: Variables,
  signal: AbortSignal,
): Promise<Agent> {
  const ssh = startSsh(masterArguments(options, files), variables)
  let printed = ''
  ssh.stdout.on('data', (bytes: Buffer) => {
    if (printed.length < mostPrinted) printed += bytes.toString()
  })
  const waitMs = options.connectTimeoutMs + patienceMs
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(waitMs)])
  const kill = () => ssh.kill()
  timeout.addEventListener('abort', kill)
  try {
    return await Agent.greet(ssh, newMark(), options.loginProfile)
  } catch (error) {
    ssh.kill()
    if (timeout.aborted && !signal.aborted)
      throw new ConnectError({
        kind: 'unreachable',
        message: `The host ${name} gave no answer in ${waitMs} ms.`,
        fix: 'See whether it is overloaded, or whether its login profile waits for something; the option loginProfile: false leaves that out.',
      })
    if (error instanceof AgentGone && error.exitCode !== sshFault) throw endedLogin(name, error, printed)
    throw error
  } finally {
    timeout.removeEventListener('abort', kill)
  }
}

/** The host let us in, and then what runs for every login ended. */
function endedLogin(name: string, { exitCode, message }: AgentGone, printed: string): unknown {
  const { kind, fix } = readFailure(name, message)
  if (kind !== 'login' && kind !== 'other') return new AgentGone(message, exitCode)
  const said = [printed.trim(), message.startsWith('ssh ended') ? '' : message.trim()].filter(
    (each) => each !== '',
  )
  return new ConnectError({
    kind: 'login',
    message:
      `The login on ${name} ended by itself, with exit code ${String(exitCode)}, before bash could be started there.` +
      (said.length === 0 ? '' : ` It printed: ${said.join('\n').slice(-500)}`),
    fix: kind === 'login' ? fix : readFailure(name, 'ssh ended with exit code 1').fix,
  })
}

/** Random letters: nothing that a program prints by chance. */
export function newMark(): string {
  return `M${randomBytes(12).toString('hex')}x`
}

async function prepareAskpass(
  directory: string,
  options: SshOptions,
  files: ConnectionFiles,
  variables: Variables,
): Promise<Askpass | undefined> {
  if (options.password === undefined && options.passphrase === undefined) return undefined
  const { user, hostname } = await resolveHost(options, files, variables)
  return Askpass.prepare(directory, options, `${user}@${hostname}`)
}

/** What the configuration makes of the host: `hostname`, `port`, `user`, `proxyjump` and so on. Throws ConnectError. */
async function resolveHost(
  options: SshOptions,
  files: ConnectionFiles,
  variables: Variables,
): Promise<Readonly<Record<string, string>>> {
  try {
    const { stdout } = await promisify(execFile)('ssh', resolveArguments(options, files), {
      env: variables,
      timeout: 10_000,
    })
    return Object.fromEntries(
      stdout.split('\n').map((line) => {
        const space = line.indexOf(' ')
        return [line.slice(0, space), line.slice(space + 1)]
      }),
    )
  } catch (error) {
    throw new ConnectError(readFailure(options.host, wordsOf(error)))
  }
}

async function explain(
  error: unknown,
  name: string,
  options: SshOptions,
  files: ConnectionFiles,
  variables: Variables,
): Promise<unknown> {
  if (!(error instanceof AgentGone)) return error
  const failure = readFailure(name, error.message)
  const { identityFile, knownHostsFile, passphrase } = options
  if (failure.kind === 'denied' && identityFile !== undefined && (await isLocked(identityFile, variables))) {
    const fix =
      passphrase === undefined
        ? `The private key ${identityFile} has a passphrase: give it as the secret passphrase, or have an agent hold the key.`
        : `See whether the secret passphrase is that of ${identityFile}.`
    return new ConnectError({ ...failure, fix: `${failure.fix} ${fix}` })
  }
  if (failure.kind !== 'unknown-host') return new ConnectError(failure)
  const resolved = await resolveHost(options, files, variables)
  return new ConnectError({
    ...failure,
    fix: await adviceForUnknownHost(resolved, knownHostsFile, variables),
  })
}

/** Whether a private key is of no use without its passphrase. */
async function isLocked(identityFile: string, variables: Variables): Promise<boolean> {
  const file = identityFile.replace(/^~(?=\/)/, userInfo().homedir)
  try {
    await promisify(execFile)('ssh-keygen', ['-y', '-P', '', '-f', file], { env: variables, timeout: 10_000 })
    return false
  } catch (error) {
    return /incorrect passphrase/i.test(wordsOf(error))
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error && 'stderr' in error && typeof error.stderr === 'string'
    ? error.stderr || error.message
    : String(error)
}
