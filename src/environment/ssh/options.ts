import { z } from 'zod'

/** Names, addresses and aliases: nothing that a shell, ssh's configuration or an option could be made of. */
const hostPattern = /^[A-Za-z0-9_:][A-Za-z0-9_.:-]{0,252}$/
const userPattern = /^[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}$/
const jumpPattern = /^(?:[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}@)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}(?::\d{1,5})?$/

/** A path as ssh's configuration takes it between quotes. */
const path = z.string().regex(/^[~/][^"\\\0\r\n]*$/, 'expected an absolute path, or one that begins with ~/')
const secret = z.string().regex(/^[^\0\r\n]{1,1024}$/, 'expected 1 to 1024 characters on one line')

/** What every environment on a host behind SSH takes. */
export const sshOptionsShape = {
  /** Name, address, or alias of `~/.ssh/config`. */
  host: z.string().regex(hostPattern, 'expected the name, address or alias of a host'),
  user: z.string().regex(userPattern, 'expected the name of a user').optional(),
  port: z.int().min(1).max(65_535).optional(),
  /** A private key, or the public one of a key that an agent holds. */
  identityFile: path.optional(),
  /** Hosts to go through, first to last: `user@gateway:22,second`. */
  jump: z
    .string()
    .refine(
      (text) => text.split(',').every((hop) => jumpPattern.test(hop)),
      'expected hosts such as user@gateway:22, parted by commas',
    )
    .optional(),
  /** The only file of known hosts that counts; without it those of ssh. */
  knownHostsFile: path.optional(),
  /** Takes the key of a host that is not known yet, and remembers it. */
  acceptNew: z.boolean().default(false),
  /** Instead of `~/.ssh/config` and the system's file. */
  configFile: path.optional(),
  password: secret.optional(),
  /** Of the private key. */
  passphrase: secret.optional(),
  connectTimeoutMs: z.int().min(1000).max(600_000).default(15_000),
  /** After three of these without an answer the connection counts as lost. */
  keepAliveMs: z.int().min(1000).max(600_000).default(15_000),
  /** Whether commands see what the user's login profile sets. */
  loginProfile: z.boolean().default(true),
}

/** Names of the options that are secret. */
export const sshSecrets = ['password', 'passphrase'] as const

/** Names of the options that scripts must not have: a configuration of ssh may name programs that the server would run. */
export const sshOperatorOnly = ['configFile'] as const

const shape = z.object(sshOptionsShape)

/** How a host is reached. */
export type SshOptions = z.output<typeof shape>

/** The options of SSH alone, with the defaults, out of those of an environment. Throws ZodError. */
export function pickSshOptions(options: z.input<typeof shape>): SshOptions {
  return shape.parse(options)
}
