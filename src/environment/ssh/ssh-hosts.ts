import { SshConnection } from './connection.ts'
import type { ConnectionSurroundings } from './line.ts'
import type { PluginContext } from '../plugin.ts'
import { pickSshOptions, type SshOptions } from './options.ts'
import { SshHost } from './ssh-host.ts'

/** The hosts behind SSH of one server: those with the same options share one connection. */
export class SshHosts {
  readonly #surroundings: ConnectionSurroundings
  readonly #connections = new Map<string, { readonly connection: SshConnection; users: number }>()

  /** `variables` are the server's own; ssh sees the few that it needs. */
  constructor(surroundings: {
    readonly variables: Readonly<Record<string, string | undefined>>
    readonly now: () => number
    readonly random: () => number
  }) {
    this.#surroundings = { ...surroundings, variables: passing(surroundings.variables) }
  }

  /** The host with these options. Connects when it is first asked for something. Its owner closes it. */
  open(options: SshOptions, sharesFiles: boolean): SshHost {
    const key = JSON.stringify(Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1)))
    const known = this.#connections.get(key)
    const shared = known ?? { connection: new SshConnection(options, this.#surroundings), users: 0 }
    shared.users += 1
    this.#connections.set(key, shared)
    return new SshHost(shared.connection, sharesFiles, async () => {
      shared.users -= 1
      if (shared.users > 0) return
      this.#connections.delete(key)
      await shared.connection.close()
    })
  }
}

/** No locale: it would become that of the jobs. */
const passed = /^(PATH|HOME|USER|LOGNAME|SHELL|TZ|SSH_AUTH_SOCK|XDG_RUNTIME_DIR|KRB5.*)$/

function passing(variables: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      value !== undefined && passed.test(name) ? [[name, value]] : [],
    ),
  )
}

/** A host behind SSH as an environment's options describe it: on the server's connection to it, where there is one. */
export function openSshHost(
  options: Parameters<typeof pickSshOptions>[0],
  sharesFiles: boolean,
  context: Pick<PluginContext, 'variables' | 'now' | 'hosts'>,
): SshHost {
  const hosts = context.hosts ?? new SshHosts({ ...context, random: Math.random })
  return hosts.open(pickSshOptions(options), sharesFiles)
}
