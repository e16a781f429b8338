import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveConfiguration } from '../../src/config/configuration.ts'
import type { Configuration } from '../../src/config/options.ts'
import { startServer, type RunningServer, type ServerSurroundings } from '../../src/main.ts'
import { createLog } from '../../src/telemetry/log.ts'

export const password = 'open sesame'

export interface TestServer extends RunningServer, AsyncDisposable {
  readonly dataDirectory: string
  readonly configuration: Configuration
  /** The lines of the log so far. */
  readonly logged: string[]
}

/** A whole server, as `molehill serve` starts it, on a free port and a fresh data directory. */
export async function startTestServer(
  flags: Readonly<Record<string, unknown>> = {},
  surroundings: Pick<ServerSurroundings, 'plugins'> = {},
): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-server-'))
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  const dataDirectory = join(directory, 'data')
  const logged: string[] = []
  const remove = () => rm(directory, { recursive: true, force: true })
  try {
    const { values } = await resolveConfiguration({
      flags: { dataDirectory, passwordFile, port: '0', ...flags },
      env: {},
      readFile: () => Promise.reject(Object.assign(new Error('no file'), { code: 'ENOENT' })),
    })
    const log = createLog({
      level: 'debug',
      format: 'json',
      isTerminal: false,
      now: Date.now,
      destination: { write: (line) => void logged.push(line) },
    })
    const server = await startServer(values, { log, ...surroundings })
    return {
      ...server,
      dataDirectory: values.dataDirectory,
      configuration: values,
      logged,
      async [Symbol.asyncDispose]() {
        await server.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** What lies in the data directory of executions and uploads: their names. */
export async function listData(dataDirectory: string): Promise<string[]> {
  const names = await Promise.all(
    ['executions', 'uploads/incoming'].map((each) => readdir(join(dataDirectory, each))),
  )
  return names.flat().sort()
}
