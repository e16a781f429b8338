import { createHash, randomBytes } from 'node:crypto'
import { Problem } from '../problem.ts'
import type { Preferences, PreferencesData } from '../store/preferences.ts'
import type { KnownUser, User, UserIdentity, UserQuota, Users, UserSettings } from './contract.ts'

type KeptUsers = NonNullable<PreferencesData['users']>
type KeptUser = KeptUsers[string]

/** Marks keys, so that people and programs that look for lost secrets know one. */
export const keyPrefix = 'mhk_'
const keyBytes = 32
const mostKeys = 20
const mostUsers = 10_000

/** Users as the preferences keep them. `now` in milliseconds since 1970. */
export function createUsers(preferences: Preferences, now: () => number): Users {
  const kept = (): KeptUsers => preferences.current().users ?? {}
  const index = createIndex(kept)
  const find = (name: string): User | undefined => {
    const found = Object.hasOwn(kept(), name) ? kept()[name] : undefined
    return found && { name, ...found }
  }
  /** Changes one user in one write, against what is there when its turn comes. */
  const update = async (
    name: string,
    change: (user: KeptUser, all: KeptUsers) => KeptUser,
  ): Promise<User> => {
    await preferences.update((current) => {
      const all = current.users ?? {}
      const user = Object.hasOwn(all, name) ? all[name] : undefined
      if (user === undefined) throw userUnknown(name)
      return { ...current, users: { ...all, [name]: change(user, all) } }
    })
    return find(name) ?? fail(name)
  }
  return {
    find,
    list: () =>
      Object.entries(kept())
        .map(([name, user]) => ({ name, ...user }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    byKey: (key) => index().byHash.get(hashOf(key)),
    byIdentity: (identity) => index().byIdentity.get(identityKey(identity)),
    async add(name, settings = {}) {
      checkName(name)
      await preferences.update((current) => {
        const all = current.users ?? {}
        if (Object.hasOwn(all, name))
          throw new Problem('user-conflict', `There is a user named ${name} already.`)
        if (Object.keys(all).length >= mostUsers)
          throw new Problem('user-conflict', `There are ${mostUsers} users, and no more are kept.`)
        const user: KeptUser = { rights: noRights, quota: {}, keys: [], identities: [], createdAt: now() }
        return { ...current, users: { ...all, [name]: withSettings(name, user, settings, all) } }
      })
      return find(name) ?? fail(name)
    },
    change: async (name, settings) => update(name, (user, all) => withSettings(name, user, settings, all)),
    async remove(name) {
      await preferences.update(({ users = {}, ...current }) => {
        if (!Object.hasOwn(users, name)) throw userUnknown(name)
        return {
          ...current,
          users: Object.fromEntries(Object.entries(users).filter(([each]) => each !== name)),
        }
      })
    },
    async addKey(name) {
      const key = `${keyPrefix}${randomBytes(keyBytes).toString('base64url')}`
      const id = randomBytes(6).toString('hex')
      await update(name, (user) => {
        if (user.keys.length >= mostKeys)
          throw new Problem('user-conflict', `${name} has ${mostKeys} keys, and may not have more.`, {
            hint: 'Remove one that is not used any more: molehill user key NAME --remove ID',
          })
        return { ...user, keys: [...user.keys, { id, hash: hashOf(key), createdAt: now() }] }
      })
      return { id, key }
    },
    async removeKey(name, id) {
      await update(name, (user) => {
        const keys = user.keys.filter((key) => key.id !== id)
        if (keys.length === user.keys.length)
          throw new Problem('key-unknown', `${name} has no key ${JSON.stringify(id.slice(0, 100))}.`)
        return { ...user, keys }
      })
    },
  }
}

const noRights = { submitter: false, workflows: 'catalog' } as const

function withSettings(name: string, user: KeptUser, settings: UserSettings, all: KeptUsers): KeptUser {
  const { submitter = user.rights.submitter, workflows = user.rights.workflows, identity } = settings
  if (identity !== undefined) checkIdentity(name, identity, all)
  const isKnown = user.identities.some((each) => identity !== undefined && isSame(each, identity))
  return {
    ...user,
    rights: { submitter, workflows },
    quota: withQuota(user.quota, settings.quota ?? {}),
    identities: identity === undefined || isKnown ? user.identities : [...user.identities, { ...identity }],
  }
}

function withQuota(before: UserQuota, given: NonNullable<UserSettings['quota']>): KeptUser['quota'] {
  const limit = (name: keyof UserQuota): number | undefined => {
    const wanted = given[name]
    return wanted === undefined ? before[name] : (wanted ?? undefined)
  }
  const limits = (['storedBytes', 'runningJobs', 'queuedJobs'] as const).map((name) => [name, limit(name)])
  return Object.fromEntries(limits.filter(([, value]) => value !== undefined)) as KeptUser['quota']
}

/** Finds users without looking at all of them. Made anew when the users are others than at the last question. */
function createIndex(kept: () => KeptUsers) {
  const make = (users: KeptUsers) => {
    const all = Object.entries(users).map(([name, user]): User => ({ name, ...user }))
    return {
      users,
      byHash: new Map(
        all.flatMap((user) => user.keys.map((key): [string, KnownUser] => [key.hash, { user, key }])),
      ),
      byIdentity: new Map(
        all.flatMap((user) =>
          user.identities.map((identity): [string, User] => [identityKey(identity), user]),
        ),
      ),
    }
  }
  let made = make(kept())
  return () => {
    const users = kept()
    if (made.users !== users) made = make(users)
    return made
  }
}

/** The time does not tell how much of a key is right: what is compared is its hash. */
function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

function identityKey({ issuer, subject }: UserIdentity): string {
  return JSON.stringify([issuer, subject])
}

function isSame(one: UserIdentity, other: UserIdentity): boolean {
  return one.issuer === other.issuer && one.subject === other.subject
}

function checkIdentity(name: string, identity: UserIdentity, all: KeptUsers): void {
  if (identity.issuer === '' || identity.subject === '')
    throw new Problem('parameter-invalid', 'Expected an issuer and a subject, got an empty text.')
  const [owner] =
    Object.entries(all).find(([, { identities }]) => identities.some((each) => isSame(each, identity))) ?? []
  if (owner !== undefined && owner !== name)
    throw new Problem('user-conflict', `That identity is ${owner}'s already.`)
}

const possibleName = /^[a-z][a-z0-9._-]{0,62}$/

/** Whether a user can be named so: it is also the name of his directories. */
export function isPossibleUserName(name: string): boolean {
  return possibleName.test(name)
}

function checkName(name: string): void {
  if (isPossibleUserName(name)) return
  throw new Problem(
    'parameter-invalid',
    `Expected a name of a small letter, then at most 62 small letters, digits, dots, hyphens and underscores; got ${JSON.stringify(name.slice(0, 100))}.`,
  )
}

function userUnknown(name: string): Problem {
  return new Problem('user-unknown', `There is no user named ${JSON.stringify(name.slice(0, 100))}.`, {
    hint: 'molehill user list shows those that there are.',
  })
}

function fail(name: string): never {
  throw new Problem('internal', `The user ${name} is gone.`)
}
