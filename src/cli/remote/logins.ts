import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { Problem } from '../../problem.ts'

const loginSchema = z.object({
  /** Only for a certificate that nobody vouches for. */
  fingerprint: z.string().optional(),
  token: z.string().optional(),
  /** Milliseconds since 1970. */
  expiresAt: z.number().optional(),
})

const loginsSchema = z.object({
  version: z.literal(1),
  /** The server of the latest login: the one that is meant when none is named. */
  latest: z.string().optional(),
  servers: z.record(z.string(), loginSchema),
})

/** What is known of one server. */
export type Login = Readonly<z.infer<typeof loginSchema>>

export interface Logins {
  /** The server of the latest login. */
  latest(): string | undefined
  of(server: string): Login | undefined
  save(server: string, login: Login): Promise<void>
}

/**
 * The tokens and fingerprints kept in a file that only its owner may read.
 * Throws Problem('configuration-invalid') for a file that cannot be understood.
 */
export async function openLogins(path: string): Promise<Logins> {
  let data = await readLogins(path)
  return {
    latest: () => data.latest,
    of: (server) => data.servers[server],
    async save(server, login) {
      // Another command may have saved a login since.
      const current = await readLogins(path)
      data = { ...current, latest: server, servers: { ...current.servers, [server]: login } }
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const fresh = `${path}.${process.pid}`
      await writeFile(fresh, `${JSON.stringify(data, null, 2)}\n`, { mode: 0o600 })
      await rename(fresh, path)
    },
  }
}

async function readLogins(path: string): Promise<z.infer<typeof loginsSchema>> {
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { version: 1, servers: {} }
    throw new Problem('configuration-invalid', `The saved logins cannot be read: ${String(error)}.`, {
      cause: error,
    })
  }
  try {
    return loginsSchema.parse(JSON.parse(content))
  } catch {
    // No cause: its text may quote a token.
    throw new Problem('configuration-invalid', `The saved logins in ${path} cannot be understood.`, {
      hint: 'Delete that file and run `molehill token` again.',
    })
  }
}
