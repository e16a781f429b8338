import type { SchedulerRequest } from './exchange.ts'

/** What is needed of a host to know it again. */
export interface KnownHost {
  readonly id: number
  readonly account: number
  readonly sequenceNumber: number
}

export type HostIdentity =
  /** The host that it says it is. */
  | { readonly kind: 'known'; readonly id: number }
  /** One that was here, and whose client has forgotten its number. It holds no copies unless it says so. */
  | { readonly kind: 'attached-again'; readonly id: number }
  | { readonly kind: 'new' }

/**
 * Which host sends a request. A sequence number that falls back shows a client whose state was copied or restored: that
 * is another host. Hosts are not recognised by their hardware where several clients may run on one.
 *
 * @param known the host with the number that the request names
 * @param similar finds a host of the account with the same cross-project id and similar hardware
 */
export function identifyHost(
  request: Pick<SchedulerRequest, 'hostId' | 'sequenceNumber' | 'allowsMultipleClients'>,
  account: number,
  known: KnownHost | undefined,
  similar: () => number | undefined,
): HostIdentity {
  if (known !== undefined && known.id === request.hostId && known.account === account)
    return request.sequenceNumber < known.sequenceNumber ? { kind: 'new' } : { kind: 'known', id: known.id }
  const id = request.allowsMultipleClients ? undefined : similar()
  return id === undefined ? { kind: 'new' } : { kind: 'attached-again', id }
}

/** Facts that stay as they are while a computer stays the same. */
export interface Hardware {
  readonly platform: string
  readonly cpuVendor: string
  readonly cpuModel: string
  readonly operatingSystem: string
}

export function isSimilar(one: Hardware, other: Hardware): boolean {
  return (
    one.platform === other.platform &&
    one.cpuVendor === other.cpuVendor &&
    one.cpuModel === other.cpuModel &&
    one.operatingSystem === other.operatingSystem
  )
}

/** Hosts of one class give the same results bit by bit, as far as one may hope: same system, same kind of processor. */
export function hostClassOf({ platform, cpuVendor }: Pick<Hardware, 'platform' | 'cpuVendor'>): string {
  return `${platform} ${cpuVendor.trim().toLowerCase()}`
}
