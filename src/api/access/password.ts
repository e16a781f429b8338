import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { Problem } from '../../problem.ts'

/** The cost of one derivation: N = 2^logN, block size r, p rounds. Memory is 128 · N · r bytes. */
export interface ScryptCost {
  readonly logN: number
  readonly r: number
  readonly p: number
}

/** As strong as OWASP's N = 2^17, r = 8, p = 1, in a quarter of the memory: 32 MiB and a third of a second. */
const defaultCost: ScryptCost = { logN: 15, r: 8, p: 3 }

const keyBytes = 32
const saltBytes = 16
/** Two of the four threads that Node has for such work and for files. */
const derivationsAtOnce = 2
const longestQueue = 50

/** In letters. */
export const longestPassword = 1024

/** Whether this may be a password at all: 1 to 1024 letters, and no NUL, which HMAC cannot tell from nothing. */
export function isPossiblePassword(password: string): boolean {
  return password !== '' && password.length <= longestPassword && !password.includes('\0')
}

export interface PasswordHashing {
  /** A text to keep instead of the password. */
  hash(password: string): Promise<string>
  /**
   * Whether `kept` was made from `password`. The time does not tell where they differ. `admit` is called when the
   * derivation is about to start, and may refuse it by throwing.
   */
  verify(password: string, kept: string, admit?: () => void): Promise<boolean>
}

/**
 * Passwords by scrypt (RFC 7914), two derivations at once and 50 waiting; then Problem('server-busy').
 * Hashes are written as `$scrypt$ln=15,r=8,p=3$salt$key`, so the cost may rise later without voiding them.
 */
export function createPasswordHashing(cost: ScryptCost = defaultCost): PasswordHashing {
  const inTurn = createTurns()
  return {
    async hash(password) {
      const salt = randomBytes(saltBytes)
      const key = await inTurn(() => derive(password, salt, cost))
      return `$scrypt$ln=${cost.logN},r=${cost.r},p=${cost.p}$${salt.toString('base64url')}$${key.toString('base64url')}`
    },
    async verify(password, kept, admit = () => undefined) {
      const { salt, key, cost } = parseHash(kept)
      const derived = await inTurn(async () => {
        admit()
        return isPossiblePassword(password) ? await derive(password, salt, cost) : undefined
      })
      return derived !== undefined && timingSafeEqual(derived, key)
    },
  }
}

function derive(password: string, salt: Buffer, { logN, r, p }: ScryptCost): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const N = 2 ** logN
  // Composed and decomposed letters look the same and come from different keyboards (RFC 8265 section 4.2).
  scrypt(password.normalize('NFC'), salt, keyBytes, { N, r, p, maxmem: 256 * N * r }, (error, key) => {
    if (error === null) resolve(key)
    else reject(error)
  })
  return promise
}

const hashForm =
  /^\$scrypt\$ln=(?<logN>1?\d),r=(?<r>\d{1,2}),p=(?<p>\d{1,2})\$(?<salt>[\w-]{22})\$(?<key>[\w-]{43})$/

function parseHash(kept: string) {
  const { logN, r, p, salt, key } = hashForm.exec(kept)?.groups ?? {}
  if (salt === undefined || key === undefined)
    throw new Problem('internal', 'The kept password hash is in no form that this Molehill knows.', {
      hint: 'Bring preferences.json in the data directory back from a backup.',
    })
  return {
    salt: Buffer.from(salt, 'base64url'),
    key: Buffer.from(key, 'base64url'),
    cost: { logN: Number(logN), r: Number(r), p: Number(p) },
  }
}

function createTurns() {
  let running = 0
  const waiting: (() => void)[] = []
  return async <Value>(run: () => Promise<Value>): Promise<Value> => {
    if (running >= derivationsAtOnce) {
      if (waiting.length >= longestQueue)
        throw new Problem('server-busy', 'Too many passwords are being checked at the moment.', {
          hint: 'Ask for one token and keep it; it is good for hours.',
          retryAfterSeconds: 5,
        })
      // Whoever ends hands its place on, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running += 1
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
