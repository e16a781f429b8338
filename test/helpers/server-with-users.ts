import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeFileDurably } from '../../src/files/durable-file.ts'
import { openPreferences } from '../../src/store/preferences.ts'
import type { UserSettings } from '../../src/users/contract.ts'
import { createUsers } from '../../src/users/users.ts'
import { startTestServer, type TestServer } from './running-server.ts'

/** A server whose users are known, and which can be started again on the same data. */
export interface ServerWithUsers extends AsyncDisposable {
  /** Key of each user by name. */
  readonly keys: Readonly<Record<string, string>>
  readonly server: TestServer
  readonly url: string
  /** Ends the server as SIGTERM does, and starts it anew. */
  restart(): Promise<void>
}

/** @param users settings of each user by name; each gets one key. */
export async function startServerWithUsers(
  users: Readonly<Record<string, UserSettings>>,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<ServerWithUsers> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-users-'))
  const dataDirectory = join(directory, 'data')
  await mkdir(dataDirectory, { mode: 0o700 })
  const keys: Record<string, string> = {}
  const preferences = await openPreferences(join(dataDirectory, 'preferences.json'), writeFileDurably)
  const known = createUsers(preferences, Date.now)
  for (const [name, settings] of Object.entries(users)) {
    await known.add(name, settings)
    keys[name] = (await known.addKey(name)).key
  }
  const start = () => startTestServer({ dataDirectory, http: true, requestRate: '0', ...flags })
  const remove = () => rm(directory, { recursive: true, force: true })
  let server: TestServer
  try {
    server = await start()
  } catch (error) {
    await remove()
    throw error
  }
  return {
    keys,
    get server() {
      return server
    },
    get url() {
      return server.url
    },
    async restart() {
      await server[Symbol.asyncDispose]()
      server = await start()
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await remove()
    },
  }
}
