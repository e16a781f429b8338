/** How a script says to log in to a computer by SSH. Passwords and passphrases belong to named environments. */
export interface SshLoginOptions {
  /** Without it, what `~/.ssh/config` says, or the server's own user. */
  readonly user?: string
  readonly port?: number
  /** A private key, or the public one of a key that an agent holds. */
  readonly identityFile?: string
  /** Hosts to go through, first to last: `user@gateway:22,second`. */
  readonly jump?: string
  /** The only file of known hosts that counts. */
  readonly knownHostsFile?: string
  /** Takes the key of a host that is not known yet, and remembers it. A changed key is always refused. */
  readonly acceptNew?: boolean
  readonly connectTimeoutMs?: number
  /** After three of these without an answer the connection counts as lost. */
  readonly keepAliveMs?: number
  /** Whether jobs see what the user's login profile sets; they do without it. */
  readonly loginProfile?: boolean
}
