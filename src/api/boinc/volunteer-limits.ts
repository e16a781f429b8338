import { addressKey, createRequestLimiter, type RequestLimits } from '../access/request-limiter.ts'

/** Who may ask how often: hosts that hold a key by themselves, everybody else by his address. */
export interface VolunteerLimits {
  /** Throws Problem requests-throttled where an address has sent too much that was refused. */
  admit(address: string): void
  /** Counts a request that was refused, or is of nobody. Throws Problem requests-throttled when there are too many. */
  refused(address: string): void
  /** Counts a scheduler request of a known account. Throws Problem requests-throttled when there are too many. */
  asked(sender: Sender): void
}

/** Whom a scheduler request is of, by its own word: the key was checked. */
export interface Sender {
  readonly account: number
  /** 0 for a host that has no number yet. */
  readonly host: number
}

/** Clients come every few seconds at most; who comes sooner is told so by the project, and what goes on is stopped here. */
const ofHost = { perSecond: 1, burst: 30 }
/** Hosts of a laboratory, which often have one account, and come together after a power cut. */
const ofNewHosts = { perSecond: 20, burst: 500 }
const ofAccount = { perSecond: 200, burst: 5000 }

/** @param byAddress for what is refused or of nobody; where it limits nothing, nothing is limited */
export function createVolunteerLimits(byAddress: RequestLimits): VolunteerLimits {
  const { elapsedMs } = byAddress
  const addresses = createRequestLimiter(byAddress)
  const limiter = (limits: typeof ofHost) =>
    createRequestLimiter({ ...limits, elapsedMs, ...(byAddress.perSecond === 0 && { perSecond: 0 }) })
  const [hosts, newHosts, accounts] = [limiter(ofHost), limiter(ofNewHosts), limiter(ofAccount)]
  return {
    admit: (address) => addresses.check(addressKey(address)),
    refused: (address) => addresses.take(addressKey(address)),
    asked({ account, host }) {
      // Numbers are claims: the account's own limit holds whatever they are.
      accounts.take(`account ${account}`)
      if (host === 0) newHosts.take(`account ${account}`)
      else hosts.take(`account ${account} host ${host}`)
    },
  }
}

/** Both stand at the beginning of what clients send. */
const headBytes = 4096

/** Whom a scheduler request is of; undefined where it has no key that was made with the project's secret. */
export function findSender(
  body: Uint8Array,
  accountOf: (authenticator: string) => number | undefined,
): Sender | undefined {
  const head = Buffer.from(body.buffer, body.byteOffset, Math.min(headBytes, body.length)).toString('latin1')
  const account = accountOf(/<authenticator>\s*([\da-f]{32})\s*</.exec(head)?.[1] ?? '')
  if (account === undefined) return undefined
  return { account, host: Number(/<hostid>\s*(\d{1,12})\s*</.exec(head)?.[1] ?? 0) }
}
