import { Problem } from '../../problem.ts'

const windowMs = 60_000
const triesPerAddress = 5
const triesInAll = 20

/** Slows down whoever guesses passwords. Remembers the wrong tries of the last minute only. */
export interface Throttle {
  /** Throws Problem('password-throttled') while `address`, or everybody together, has had too many wrong tries. */
  check(address: string): void
  wrong(address: string): void
  /** Forgets the wrong tries of `address`. */
  right(address: string): void
}

/** Five wrong tries a minute for each address and twenty for all together. `now` in milliseconds. */
export function createThrottle(now: () => number): Throttle {
  let tries: { readonly address: string; readonly atMs: number }[] = []
  const prune = () => {
    const nowMs = now()
    // A try from the future means that the clock was set back: it must not lock anybody out for hours.
    tries = tries.filter(({ atMs }) => atMs <= nowMs && nowMs - atMs < windowMs)
  }
  return {
    check(address) {
      prune()
      const own = tries.filter((each) => each.address === address)
      // The tries that have to pass out of the window before there is room again.
      const blocking = [own.at(-triesPerAddress), tries.at(-triesInAll)].filter((each) => each !== undefined)
      if (blocking.length === 0) return
      const freeAtMs = Math.max(...blocking.map(({ atMs }) => atMs)) + windowMs
      const retryAfterSeconds = Math.max(1, Math.ceil((freeAtMs - now()) / 1000))
      throw new Problem('password-throttled', 'Too many wrong passwords were sent.', {
        hint: `Try again in ${retryAfterSeconds} s.`,
        retryAfterSeconds,
      })
    },
    wrong(address) {
      prune()
      tries = [...tries, { address, atMs: now() }].slice(-2 * triesInAll)
    },
    right(address) {
      tries = tries.filter((each) => each.address !== address)
    },
  }
}
