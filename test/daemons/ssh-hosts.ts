import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommandResult } from './run-command.ts'
import { startHost } from './host.ts'
import { clientConfiguration, type SshServer, type SshServerOptions } from './ssh-server.ts'
import type { WireFaults } from './wire.ts'

/** A host with its own address, home, /srv and /tmp. Its aliases, and host names, are node1, node2 ... */
export interface SshHost extends SshServer, WireFaults {
  /** A directory of the user besides the home. */
  readonly scratch: string
  /** The path out here of a path there. */
  pathOutside(path: string): string
  /** Runs a command there as root, without SSH. */
  run(command: readonly string[]): Promise<CommandResult>
  /** Processes there by their numbers out here; `name` as in /proc/PID/comm. */
  processes(name?: string): Promise<readonly number[]>
  /** Kills every process: connections end, jobs are gone, files stay. */
  die(): Promise<void>
  /** Starts the SSH server again, after `die` or instead of the running one. */
  revive(): Promise<void>
  /** Freezes every process. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** The end of the server's log. */
  log(): Promise<string>
}

export interface SshHosts extends AsyncDisposable {
  readonly hosts: readonly SshHost[]
  /** For `ssh -F`; knows all hosts by their aliases. */
  readonly configFile: string
  stop(): Promise<void>
}

/** Hosts in network namespaces of this machine; they share no files with it, and each can be cut off. */
export async function startSshHosts(count: number, options: SshServerOptions = {}): Promise<SshHosts> {
  const started = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => startHost(`node${index + 1}`, options)),
  )
  const all = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const stop = async () => void (await Promise.all(all.map(({ enclosure }) => enclosure.stop())))
  const failed = started.find((each) => each.status === 'rejected')
  const [first] = all
  if (failed !== undefined || first === undefined) {
    await stop()
    throw failed?.reason ?? new Error('a number of hosts of at least 1 is needed')
  }
  const configFile = join(first.enclosure.directory, 'all_hosts')
  await writeFile(configFile, clientConfiguration(...all.map(({ daemon }) => daemon.server)))
  const hosts = all.map(({ enclosure, daemon, faults }): SshHost => ({
    ...daemon.server,
    ...faults,
    scratch: '/srv/scratch',
    pathOutside: (path) => `/proc/${enclosure.firstProcess}/root${path}`,
    run: (command) => enclosure.try(command),
    processes: (name) => enclosure.processes(name),
    die: () => enclosure.kill(),
    revive: async () => {
      await daemon.kill()
      await daemon.start()
    },
    pause: async () => void (await enclosure.signal('SIGSTOP')),
    resume: async () => void (await enclosure.signal('SIGCONT')),
    log: () => enclosure.readLog('sshd.log'),
  }))
  return { hosts, configFile, stop, [Symbol.asyncDispose]: stop }
}
