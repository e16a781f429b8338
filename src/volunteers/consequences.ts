import { creditOf } from './credit.ts'
import type { HostTable } from './host-table.ts'
import type { CopyState } from './transitions.ts'
import type { CopyChange } from './work-table.ts'

const outcomes: Readonly<Partial<Record<CopyState, 'success' | 'failure'>>> = {
  accepted: 'success',
  agreeing: 'success',
  wrong: 'failure',
  failed: 'failure',
  overdue: 'failure',
  lost: 'failure',
}

/** That a host did not send what nobody waited for any more says nothing about it: it may have been told to stop. */
const missed: ReadonlySet<CopyState> = new Set(['overdue', 'lost'])

/** What hosts and their volunteers get for copies that came to another state: a better or worse name, and credit. */
export function bringConsequences(hosts: HostTable, changes: readonly CopyChange[], now: number): void {
  for (const { copy, cpus, state, wasAwaited } of changes) {
    const outcome = outcomes[state]
    if (outcome === undefined || (!wasAwaited && missed.has(state))) continue
    hosts.countOutcome(copy.host, outcome)
    if (outcome === 'failure') continue
    const possible = (((copy.endedAt ?? now) - copy.sentAt) / 1000) * Math.max(1, cpus)
    const granted = creditOf(copy.cpuSeconds, hosts.get(copy.host)?.flops ?? 0, possible)
    if (granted > 0) hosts.grantCredit(copy.host, copy.account, granted, now)
  }
}
