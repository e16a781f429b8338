/** Who may use a server besides its operator. Kept in the preferences: few, and slow to change. */
export interface User {
  /** Letters, digits, dots, hyphens and underscores, in small letters: also the name of his directories. */
  readonly name: string
  readonly rights: UserRights
  readonly quota: UserQuota
  readonly keys: readonly UserKey[]
  readonly identities: readonly UserIdentity[]
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** What a user may do besides looking after what is his own. */
export interface UserRights {
  /** Whether his keys are authenticators of the remote submission of BOINC. */
  readonly submitter: boolean
  /** `catalog`: only workflows that the operator has installed; `any`: also work directories of his own. */
  readonly workflows: 'catalog' | 'any'
}

/** How much a user may have at the same time. What is not there is not limited. */
export interface UserQuota {
  /** In his executions and in what he has uploaded. */
  readonly storedBytes?: number | undefined
  /** Jobs that run; further ones wait. */
  readonly runningJobs?: number | undefined
  /** Jobs that wait: with so many of them, no execution is started. */
  readonly queuedJobs?: number | undefined
}

/** A key, which itself nobody keeps. */
export interface UserKey {
  /** Names it to people; no secret. */
  readonly id: string
  /** SHA-256 of the key, as hex digits. */
  readonly hash: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** Who a user is at an OpenID Connect provider: a subject means nothing without its issuer. */
export interface UserIdentity {
  readonly issuer: string
  readonly subject: string
}

/** A user, and what he was known by. */
export interface KnownUser {
  readonly user: User
  readonly key: UserKey
}

/** The users of a server. What is changed here is on the disk when the call resolves. */
export interface Users {
  /** By name. */
  list(): readonly User[]
  find(name: string): User | undefined
  /** Costs one hash, whether there is such a key or not. */
  byKey(key: string): KnownUser | undefined
  byIdentity(identity: UserIdentity): User | undefined
  /** Throws Problem parameter-invalid for a name that cannot be one, user-conflict where there is one of it. */
  add(name: string, settings?: UserSettings): Promise<User>
  /** Changes what is given, and leaves the rest. Throws Problem user-unknown, user-conflict. */
  change(name: string, settings: UserSettings): Promise<User>
  /** Forgets a user with his keys. What else is his is for others to remove first. Throws Problem user-unknown. */
  remove(name: string): Promise<void>
  /** Makes a key and tells it, once. Throws Problem user-unknown, and user-conflict where he has too many. */
  addKey(name: string): Promise<{ readonly id: string; readonly key: string }>
  /** Throws Problem user-unknown, key-unknown. */
  removeKey(name: string, id: string): Promise<void>
}

/** What can be set of a user. */
export interface UserSettings {
  readonly submitter?: boolean | undefined
  readonly workflows?: UserRights['workflows'] | undefined
  /** Only what is given changes; null takes a limit away. */
  readonly quota?: { readonly [Limit in keyof UserQuota]?: number | null | undefined } | undefined
  /** One more identity. Throws Problem user-conflict where it is another user's. */
  readonly identity?: UserIdentity | undefined
}

/** What a dialect keeps of users besides their executions. */
export interface KeptOfUsers {
  /** Bytes of the files that it keeps of a user. */
  storedBytes(owner: string): number | Promise<number>
  /** Deletes all that it keeps of a user, who is gone already. Must also do where it was broken off before. */
  forget(owner: string): Promise<void>
}
