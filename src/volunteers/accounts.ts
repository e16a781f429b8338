import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { Problem } from '../problem.ts'
import { inTransaction } from '../store/dialect-database.ts'

/**
 * Volunteers: whose hosts take part, and whom credit belongs to. Their authenticators are not kept: they are made of
 * the account's number with a secret, and open nothing but scheduler, downloads and uploads.
 */
export const accountsSchema = `
  CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT UNIQUE,
    password TEXT,
    cross_project_id TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS invitations (
    hash TEXT PRIMARY KEY,
    uses INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
  ) STRICT;
  -- What was done to accounts and is not told yet.
  CREATE TABLE IF NOT EXISTS account_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    address TEXT
  ) STRICT;
`

/** Something that was done to accounts, by the operator's command line or by somebody at an address. */
export interface AccountChange {
  readonly id: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly action: 'volunteer-add' | 'volunteer-remove' | 'volunteer-invite'
  readonly object: string
  readonly address?: string
}

export interface Account {
  readonly id: number
  readonly name: string
  /** Absent for who has no password, only the key that the operator gave him. */
  readonly email?: string
  /** The same at every project, for statistics sites. */
  readonly crossProjectId: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

export interface NewAccount {
  readonly name: string
  readonly email: string
  /** What clients send instead of a password: the MD5 of it and of the address. */
  readonly passwordHash: string
}

export interface Accounts extends Disposable {
  /** For who gets a key and needs no password. Throws Problem user-conflict for a name that is taken. */
  add(name: string): Account
  /**
   * For who makes one himself. Throws Problem user-conflict for an address that is taken, password-wrong for an
   * invitation that is none, or none any more.
   */
  create(account: NewAccount, invitation: string | undefined, address?: string): Promise<Account>
  /** For who has an invitation and wants a key. Throws Problem user-conflict, password-wrong. */
  join(name: string, invitation: string, address?: string): Account
  /** The account of an address. Throws Problem user-unknown, password-wrong. */
  logIn(email: string, passwordHash: string): Promise<Account>
  list(): readonly Account[]
  /** Its key is void at once. Throws Problem user-unknown, user-conflict where several have the name. */
  remove(nameOrEmail: string): void
  /** A text with which so many people may each make an account until then. */
  invite(uses: number, endsAt: number): string
  authenticatorOf(account: Pick<Account, 'id'>): string
  /** Changes that are not told yet, the oldest first, whoever made them. */
  changes(limit: number): readonly AccountChange[]
  /** Forgets changes up to this one, which have been told. */
  told(change: Pick<AccountChange, 'id'>): void
}

const busyTimeoutMs = 5000
const longestName = 100
const idDigits = 8
const authenticatorPattern = /^[\da-f]{32}$/

/** Opens the accounts of a project: one of several connections to its database. */
export function openAccounts(path: string, secret: Uint8Array, now: () => number): Accounts {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs })
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${accountsSchema}`)
  const insert = database.prepare(
    'INSERT INTO accounts (name, email, password, cross_project_id, created_at) VALUES (?, ?, ?, ?, ?) RETURNING *',
  )
  const byName = database.prepare('SELECT * FROM accounts WHERE name = ?')
  const byEmail = database.prepare('SELECT * FROM accounts WHERE email = ?')
  const everyone = database.prepare('SELECT * FROM accounts ORDER BY id')
  const takeInvitation = database.prepare(
    'UPDATE invitations SET uses = uses - 1 WHERE hash = ? AND uses > 0 AND ends_at > ?',
  )

  const addChange = database.prepare(
    'INSERT INTO account_changes (at, action, object, address) VALUES (?, ?, ?, ?)',
  )
  const untold = database.prepare('SELECT * FROM account_changes ORDER BY id LIMIT ?')
  const forgetChanges = database.prepare('DELETE FROM account_changes WHERE id <= ?')

  const checkNewName = (name: string) => {
    checkName(name)
    if (byName.get(name) !== undefined)
      throw new Problem('user-conflict', `There is a volunteer ${JSON.stringify(name)} already.`)
  }
  const useInvitation = (invitation: string) => {
    if (takeInvitation.run(hashOf(invitation), now()).changes === 0)
      throw new Problem('password-wrong', 'The invitation is not known, used up or too old.')
  }
  const note = (action: AccountChange['action'], object: string, address: string | undefined) => {
    addChange.run(now(), action, object, address ?? null)
  }
  const insertAccount = (
    values: readonly [name: string, email: string | null, password: string | null],
    address: string | undefined,
  ) => {
    const account = readAccount(one(insert, [...values, newCrossProjectId(), now()]))
    note('volunteer-add', `${account.name} (${account.id})`, address)
    return account
  }

  return {
    add(name) {
      checkNewName(name)
      return inTransaction(database, () => insertAccount([name, null, null], undefined))
    },

    join(name, invitation, address) {
      checkNewName(name)
      return inTransaction(database, () => {
        useInvitation(invitation)
        return insertAccount([name, null, null], address)
      })
    },

    async create({ name, email, passwordHash }, invitation, from) {
      const address = checkEmail(email)
      checkName(name)
      if (byEmail.get(address) !== undefined) throw addressTaken(address)
      const password = await hashPassword(checkPasswordHash(passwordHash))
      return inTransaction(database, () => {
        if (invitation !== undefined) useInvitation(invitation)
        // Somebody else may have come with the address meanwhile.
        if (byEmail.get(address) !== undefined) throw addressTaken(address)
        return insertAccount([name, address, password], from)
      })
    },

    async logIn(email, passwordHash) {
      const row = byEmail.get(email.trim().toLowerCase())
      if (row === undefined) throw new Problem('user-unknown', 'There is no account of this address.')
      if (!(await isPassword(passwordHash, String(row['password']))))
        throw new Problem('password-wrong', 'The password is wrong.')
      return readAccount(row)
    },

    list: () => everyone.all().map(readAccount),

    remove(nameOrEmail) {
      const rows = database
        .prepare('SELECT id FROM accounts WHERE name = ? OR email = ?')
        .all(nameOrEmail, nameOrEmail.toLowerCase())
      const shown = JSON.stringify(nameOrEmail.slice(0, longestName))
      if (rows.length === 0) throw new Problem('user-unknown', `There is no volunteer ${shown}.`)
      if (rows.length > 1)
        throw new Problem('user-conflict', `There are ${rows.length} volunteers ${shown}.`, {
          hint: 'Name the e-mail address of the one you mean: molehill boinc account list shows it.',
        })
      const id = Number(rows[0]?.['id'])
      inTransaction(database, () => {
        database.prepare('DELETE FROM accounts WHERE id = ?').run(id)
        note('volunteer-remove', `${nameOrEmail} (${id})`, undefined)
      })
    },

    invite(uses, endsAt) {
      const invitation = randomBytes(9).toString('base64url')
      inTransaction(database, () => {
        database.prepare('DELETE FROM invitations WHERE uses < 1 OR ends_at < ?').run(now())
        database.prepare('INSERT INTO invitations VALUES (?, ?, ?)').run(hashOf(invitation), uses, endsAt)
        note('volunteer-invite', `${uses} until ${new Date(endsAt).toISOString()}`, undefined)
      })
      return invitation
    },

    authenticatorOf: ({ id }) => authenticatorOf(id, secret),
    changes: (limit) => untold.all(limit).map((row) => readChange(row)),
    told: ({ id }) => void forgetChanges.run(id),
    [Symbol.dispose]: () => database.close(),
  }
}

/** The key of an account: its number, and what only who has the secret can make of it. 32 hexadecimal digits. */
export function authenticatorOf(id: number, secret: Uint8Array): string {
  const digits = id.toString(16).padStart(idDigits, '0')
  const proof = createHmac('sha256', secret).update(`volunteer ${digits}`).digest('hex')
  return digits + proof.slice(0, 32 - idDigits)
}

/** The account that a key is of; whether it is still there is another question. */
export function accountIdOf(authenticator: string, secret: Uint8Array): number | undefined {
  if (!authenticatorPattern.test(authenticator)) return undefined
  const id = Number.parseInt(authenticator.slice(0, idDigits), 16)
  const expected = Buffer.from(authenticatorOf(id, secret))
  return timingSafeEqual(expected, Buffer.from(authenticator)) ? id : undefined
}

type Row = ReturnType<StatementSync['all']>[number]

function one(statement: StatementSync, values: readonly (string | number | null)[]): Row {
  const row = statement.get(...values)
  if (row === undefined) throw new Error('The database answered an insertion with nothing.')
  return row
}

function readAccount(row: Row): Account {
  const email = row['email']
  return {
    id: Number(row['id']),
    name: String(row['name']),
    ...(typeof email === 'string' && { email }),
    crossProjectId: String(row['cross_project_id']),
    createdAt: Number(row['created_at']),
  }
}

function readChange(row: Row): AccountChange {
  const address = row['address']
  return {
    id: Number(row['id']),
    at: Number(row['at']),
    action: String(row['action']) as AccountChange['action'],
    object: String(row['object']),
    ...(typeof address === 'string' && { address }),
  }
}

function newCrossProjectId(): string {
  return randomBytes(16).toString('hex')
}

function checkName(name: string): void {
  // oxlint-disable-next-line no-control-regex -- finding control characters is what it is for
  if (name.trim() === '' || name.length > longestName || /[\u0000-\u001f\u007f]/.test(name))
    throw new Problem(
      'parameter-invalid',
      `Expected a name of 1 to ${longestName} characters, without control characters.`,
    )
}

function checkEmail(email: string): string {
  const address = email.trim().toLowerCase()
  if (!/^[^\s@<>"&]{1,64}@[^\s@<>"&]{1,190}$/.test(address))
    throw new Problem('parameter-invalid', 'Expected an e-mail address, such as ann@example.org.')
  return address
}

function checkPasswordHash(passwordHash: string): string {
  if (!/^[\da-f]{32}$/i.test(passwordHash))
    throw new Problem('parameter-invalid', 'Expected the MD5 of a password: 32 hexadecimal digits.')
  return passwordHash.toLowerCase()
}

function addressTaken(address: string): Problem {
  return new Problem('user-conflict', `There is an account of ${address} already.`)
}

function hashOf(invitation: string): string {
  return createHmac('sha256', 'invitation').update(invitation).digest('hex')
}

const derive = promisify(scrypt) as (password: string, salt: Uint8Array, bytes: number) => Promise<Buffer>

/** Salt and scrypt of it: the MD5 that clients send is as good as the password to whoever gets hold of it. */
async function hashPassword(passwordHash: string): Promise<string> {
  const salt = randomBytes(16)
  return `${salt.toString('hex')} ${(await derive(passwordHash, salt, 32)).toString('hex')}`
}

async function isPassword(passwordHash: string, kept: string): Promise<boolean> {
  const [salt = '', hash = ''] = kept.split(' ')
  const expected = Buffer.from(hash, 'hex')
  const derived = await derive(passwordHash.toLowerCase().slice(0, 32), Buffer.from(salt, 'hex'), 32)
  return expected.length === derived.length && timingSafeEqual(expected, derived)
}
