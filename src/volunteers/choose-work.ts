/** What a host may get in one reply. */
export interface HostRoom {
  readonly cpus: number
  readonly memoryBytes: number
  /** Of the disk, for all that it holds. */
  readonly diskBytes: number
  /** Copies that it has already. */
  readonly held: { readonly count: number; readonly estimatedMs: number; readonly diskBytes: number }
  readonly quotaLeft: number
  readonly wanted: { readonly cpuSeconds: number; readonly idleCpus: number }
}

export interface Candidate {
  readonly id: number
  readonly cpus: number
  readonly estimatedMs: number
  readonly memoryBytes: number
  readonly diskBytes: number
}

/** Copies that a host holds beyond one for each processor. */
const spareCopies = 2
/** Of short work a host holds so much for each processor, as it comes back for more only every few seconds. */
const heldMsPerCpu = 60_000
const shortCopiesPerCpu = 8

/** How many more copies a host may hold, whatever they are. */
export function slotsLeft({ cpus, held, quotaLeft }: HostRoom): number {
  const most = held.estimatedMs < heldMsPerCpu * cpus ? shortCopiesPerCpu * cpus : cpus
  return Math.max(0, Math.min(quotaLeft, most + spareCopies - held.count))
}

/**
 * The work that a host gets, in the order of the candidates: as much as keeps it busy for the time that it asked for, at
 * least one piece, never more than it may hold.
 */
export function chooseWork<Work extends Candidate>(room: HostRoom, candidates: readonly Work[]): Work[] {
  const chosen: Work[] = []
  let { count, estimatedMs, diskBytes } = room.held
  let cpuMs = 0
  let cpus = 0
  for (const candidate of candidates) {
    if (chosen.length > 0 && cpuMs >= room.wanted.cpuSeconds * 1000 && cpus >= room.wanted.idleCpus) break
    if (
      slotsLeft({
        ...room,
        quotaLeft: room.quotaLeft - chosen.length,
        held: { ...room.held, count, estimatedMs },
      }) === 0
    )
      break
    if (!fits(room, candidate, diskBytes)) continue
    chosen.push(candidate)
    count += 1
    estimatedMs += candidate.estimatedMs * candidate.cpus
    diskBytes += candidate.diskBytes
    cpuMs += candidate.estimatedMs * candidate.cpus
    cpus += candidate.cpus
  }
  return chosen
}

function fits(room: HostRoom, candidate: Candidate, heldDiskBytes: number): boolean {
  return (
    candidate.cpus <= Math.max(1, room.cpus) &&
    candidate.memoryBytes <= room.memoryBytes &&
    heldDiskBytes + candidate.diskBytes <= room.diskBytes
  )
}
