import { join } from 'node:path'
import { Enclosure } from './enclosure.ts'
import { claimPorts } from './ports.ts'
import type { CommandResult } from './run-command.ts'
import { SshDaemon, type SshServer, type SshServerOptions } from './ssh-server.ts'

export interface Sshd extends SshServer, AsyncDisposable {
  /** Where its log and the user's home lie; removed by `stop`. */
  readonly directory: string
  /** Freezes the server and all its sessions: connections stand, nothing answers. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Kills the server and its sessions, not the jobs that run on. */
  kill(): Promise<void>
  /** Starts it again on the same port with the same keys, after `kill` or instead of it. */
  restart(): Promise<void>
  /** Runs a command there as root, without SSH: for what an administrator does. */
  run(command: readonly string[]): Promise<CommandResult>
  /** Processes of that host by their numbers out here; `name` as in /proc/PID/comm. Inside they have others. */
  processes(name?: string): Promise<readonly number[]>
  /** The end of the server's log. */
  log(): Promise<string>
  stop(): Promise<void>
}

/**
 * One SSH server on a free port of 127.0.0.1 with its own keys. Its file system is this machine's, so that it stands for
 * a login node with shared files; its user's home is a fresh directory. Whatever commands leave running ends with it.
 */
export async function startSshd(options: SshServerOptions = {}): Promise<Sshd> {
  const ports = await claimPorts()
  const enclosure = await Enclosure.start()
  const { directory } = enclosure
  const stop = async () => {
    await enclosure.stop()
    await ports.release()
  }
  try {
    const place = { host: '127.0.0.1', port: ports.first, alias: 'host', home: join(directory, 'home') }
    const daemon = await SshDaemon.prepare(enclosure, place, options)
    await daemon.start()
    return {
      ...daemon.server,
      directory,
      pause: async () => void (await enclosure.signal('SIGSTOP')),
      resume: async () => void (await enclosure.signal('SIGCONT')),
      kill: () => daemon.kill(),
      restart: async () => {
        await daemon.kill()
        await daemon.start()
      },
      run: (command) => enclosure.try(command),
      processes: (name) => enclosure.processes(name),
      log: () => enclosure.readLog('sshd.log'),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
