import { isIPv6 } from 'node:net'
import { Problem } from '../../problem.ts'

/** Counts requests by who sends them. */
export interface RequestLimiter {
  /** Counts one request. Throws Problem requests-throttled when `key` has sent too many. */
  take(key: string): void
  /** Counts nothing. Throws Problem requests-throttled where a request would be one too many. */
  check(key: string): void
}

export interface RequestLimits {
  /** How many a second, on the average; 0 limits nothing. */
  readonly perSecond: number
  /** How many at once, after a rest. */
  readonly burst: number
  /** Monotonic, in milliseconds. */
  readonly elapsedMs: () => number
}

/** Whoever is forgotten because there are more begins with a full bucket: the memory is bounded, the limit is not. */
const mostKeys = 10_000

interface Bucket {
  tokens: number
  filledAtMs: number
}

/** One token bucket for each key: it holds `burst` requests and is filled again by `perSecond`. */
export function createRequestLimiter({ perSecond, burst, elapsedMs }: RequestLimits): RequestLimiter {
  const buckets = new Map<string, Bucket>()
  const fill = (key: string): Bucket => {
    const nowMs = elapsedMs()
    const bucket = buckets.get(key) ?? { tokens: burst, filledAtMs: nowMs }
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.filledAtMs) * perSecond) / 1000)
    bucket.filledAtMs = nowMs
    return bucket
  }
  return {
    check(key) {
      const { tokens } = perSecond === 0 ? { tokens: burst } : fill(key)
      if (tokens < 1) throw throttled(perSecond, (1 - tokens) / perSecond)
    },
    take(key) {
      if (perSecond === 0) return
      const bucket = fill(key)
      // Those that were seen last stay longest.
      buckets.delete(key)
      buckets.set(key, bucket)
      if (buckets.size > mostKeys) forgetOldest(buckets)
      if (bucket.tokens < 1) throw throttled(perSecond, (1 - bucket.tokens) / perSecond)
      bucket.tokens -= 1
    },
  }
}

/** What stands for an address: of IPv6 the network (/64), as one computer has as many addresses there as it likes. */
export function addressKey(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined || !isIPv6(address)) return `address ${mapped ?? address}`
  const [head = '', tail] = address.replace(/%.*$/, '').split('::', 2)
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  const network = [...left, ...zeros, ...right].slice(0, 4)
  return `address ${network.map((part) => Number.parseInt(part, 16).toString(16)).join(':')}::/64`
}

function forgetOldest(buckets: Map<string, Bucket>): void {
  const [oldest] = buckets.keys()
  if (oldest !== undefined) buckets.delete(oldest)
}

function throttled(perSecond: number, waitSeconds: number): Problem {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitSeconds))
  return new Problem('requests-throttled', `Expected at most ${perSecond} requests a second, got more.`, {
    hint: `Try again in ${retryAfterSeconds} s, and ask less often.`,
    retryAfterSeconds,
  })
}
