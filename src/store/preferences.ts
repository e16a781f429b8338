import { readFile } from 'node:fs/promises'
import { Low, type Adapter } from 'lowdb'
import { z } from 'zod'
import { Problem } from '../problem.ts'
import { keptSecretsSchema, type SecretsPlace } from './secrets.ts'

/**
 * Replaces a file so that after a power cut it holds either the old content or the new: a fresh file of that mode
 * beside it, fsync, rename, fsync of the directory.
 */
export type WriteDurably = (path: string, data: string, mode: number) => Promise<void>

const preferencesVersion = 1

const limitSchema = z.int().min(0).optional()

/** What is kept of a user. Times are milliseconds since 1970. */
const keptUserSchema = z.object({
  rights: z.object({ submitter: z.boolean(), workflows: z.enum(['catalog', 'any']) }),
  quota: z.object({ storedBytes: limitSchema, runningJobs: limitSchema, queuedJobs: limitSchema }),
  keys: z.array(
    z.object({ id: z.string().min(1), hash: z.string().regex(/^[0-9a-f]{64}$/), createdAt: z.number() }),
  ),
  identities: z.array(z.object({ issuer: z.string().min(1), subject: z.string().min(1) })),
  createdAt: z.number(),
})

/** Members that this version does not know are kept as they are. */
const preferencesSchema = z.looseObject({
  version: z.literal(preferencesVersion),
  /** Absent until the first start has set one. `version` counts up with each change and voids older tokens. */
  password: z.object({ hash: z.string().min(1), version: z.int().min(1) }).optional(),
  /** 32 random bytes in base64url that sign tokens. Absent until the first token is needed. */
  tokenKey: z
    .string()
    .regex(/^[\w-]{43}$/)
    .optional(),
  /** Absent until the first secret is kept. */
  secrets: keptSecretsSchema.optional(),
  /** The options of the latest start, as they are shown: the next one tells what has changed. */
  configuration: z.record(z.string(), z.string()).optional(),
  /** Places to run jobs that scripts refer to by name. `secrets` are the names of options that lie among the secrets. */
  environments: z
    .record(
      z.string(),
      z.object({
        kind: z.string().min(1),
        options: z.record(z.string(), z.unknown()),
        secrets: z.array(z.string()),
      }),
    )
    .optional(),
  /** Who may use the server besides its operator, by name. Of keys only hashes are kept. */
  users: z.record(z.string(), keptUserSchema).optional(),
})

export type PreferencesData = Readonly<z.infer<typeof preferencesSchema>>

/** Small things that change slowly and that the server cannot make again: the whole file is written each time. */
export interface Preferences {
  /** What is on disk now. */
  current(): PreferencesData
  /**
   * Replaces the preferences by what `change` makes of them. Resolves when that is on disk; rejects with nothing
   * changed when it could not be written. Updates happen one after the other.
   */
  update(change: (current: PreferencesData) => PreferencesData): Promise<void>
}

/**
 * Reads the preferences, or begins with empty ones when the file is not there; nothing is written yet.
 * Throws Problem('configuration-invalid') for a file that cannot be understood, and leaves it untouched.
 */
export async function openPreferences(path: string, writeDurably: WriteDurably): Promise<Preferences> {
  const database = new Low<PreferencesData>(durableAdapter(path, writeDurably), {
    version: preferencesVersion,
  })
  await database.read()
  let current = database.data
  let lastUpdate = Promise.resolve()

  const write = async (change: (current: PreferencesData) => PreferencesData) => {
    database.data = preferencesSchema.parse(change(current))
    await database.write()
    current = database.data
  }
  return {
    current: () => current,
    update(change) {
      const update = lastUpdate.then(() => write(change))
      lastUpdate = update.catch(() => undefined)
      return update
    },
  }
}

/** The part of the preferences in which secrets are kept. */
export function secretsIn(preferences: Preferences): SecretsPlace {
  return {
    current: () => preferences.current().secrets,
    update: (change) => preferences.update((current) => ({ ...current, secrets: change(current.secrets) })),
  }
}

/** lowdb's own writer does not fsync and has one fixed temporary name. */
function durableAdapter(path: string, writeDurably: WriteDurably): Adapter<PreferencesData> {
  return {
    async read() {
      let content: string
      try {
        content = await readFile(path, 'utf8')
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
        throw error
      }
      return parsePreferences(content, path)
    },
    write: (data) => writeDurably(path, `${JSON.stringify(data, undefined, 2)}\n`, 0o600),
  }
}

function parsePreferences(content: string, path: string): PreferencesData {
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch {
    throw broken(path, content === '' ? 'it is empty' : 'it is not JSON')
  }
  const { data: stamp } = z.object({ version: z.int() }).safeParse(parsed)
  if (stamp !== undefined && stamp.version > preferencesVersion)
    throw new Problem(
      'configuration-invalid',
      `The preferences ${path} have version ${stamp.version}; this Molehill reads version ${preferencesVersion}.`,
      { hint: 'A newer Molehill wrote them: start that one, or name another data directory.' },
    )
  const read = preferencesSchema.safeParse(parsed)
  if (read.success) return read.data
  // Names of members only: their values are secrets.
  const members = read.error.issues.map((issue) => issue.path.join('.') || 'the whole')
  throw broken(path, `wrong is ${members.join(', ')}`)
}

function broken(path: string, reason: string): Problem {
  return new Problem('configuration-invalid', `The preferences ${path} are broken: ${reason}.`, {
    hint:
      'Bring the file back from a backup. Or move it away: then the next start sets a new password, and tokens ' +
      'given out before are void. Executions are not touched.',
  })
}
