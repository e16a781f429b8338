import { mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { makeOwned, readAccount } from './account.ts'
import { Enclosure } from './enclosure.ts'
import { tryCommand } from './run-command.ts'
import { SshDaemon, type SshServerOptions } from './ssh-server.ts'
import { claimWire, layWire, wireFaults, type Wire, type WireFaults } from './wire.ts'

export interface HostOptions extends SshServerOptions {
  /** Whether it sees this machine's /tmp and so shares files with the test; else it has /home, /srv and /tmp of its own. */
  readonly sharesFiles?: boolean
  /** Changes to the files of a host that shares them, before its SSH server is made. */
  readonly prepare?: (enclosure: Enclosure) => Promise<void>
}

/** A host with an address, a network and an SSH server of its own. */
export interface Host {
  readonly enclosure: Enclosure
  readonly daemon: SshDaemon
  readonly wire: Wire
  readonly faults: WireFaults
}

/** Starts a host; ending its enclosure ends it and gives its addresses back. */
export async function startHost(name: string, options: HostOptions = {}): Promise<Host> {
  const wire = await claimWire()
  const enclosure = await Enclosure.start({ ownNetwork: true, hostName: name, undo: wire.undo }).catch(
    async (error: unknown) => {
      await tryCommand(['sh', '-c', wire.undo])
      throw error
    },
  )
  try {
    await layWire(enclosure, wire)
    await options.prepare?.(enclosure)
    const homes = options.sharesFiles
      ? { home: join(enclosure.directory, 'home') }
      : await giveFiles(enclosure)
    const daemon = await SshDaemon.prepare(
      enclosure,
      { host: wire.inside, port: 22, alias: name, ...homes },
      options,
    )
    await daemon.start()
    return { enclosure, daemon, wire, faults: wireFaults(enclosure, wire) }
  } catch (error) {
    await enclosure.stop()
    throw error
  }
}

/** Puts own directories over /home, /srv and the temporary ones. The enclosure's own directory stays where it is. */
async function giveFiles(enclosure: Enclosure): Promise<{ home: string; homeOutside: string }> {
  const account = await readAccount()
  const files = join(enclosure.directory, 'files')
  const own = join(files, 'tmp', basename(enclosure.directory))
  for (const name of ['home', 'srv', 'tmp', 'var-tmp']) await mkdir(join(files, name), { recursive: true })
  await mkdir(own)
  await makeOwned(join(files, 'srv', 'scratch'), account)
  await enclosure.run(['chmod', '1777', join(files, 'tmp'), join(files, 'var-tmp')])
  const bind = (kind: '--bind' | '--rbind', from: string, to: string) =>
    enclosure.run(['mount', kind, from, to])
  await bind('--bind', enclosure.directory, own)
  for (const [name, place] of [
    ['home', '/home'],
    ['srv', '/srv'],
    ['var-tmp', '/var/tmp'],
    ['tmp', '/tmp'],
  ] as const)
    await bind('--rbind', join(files, name), place)
  return { home: `/home/${account.user}`, homeOutside: join(files, 'home', account.user) }
}
