import type { Replication, WorkunitProgress } from '../environment/volunteers.ts'

/**
 * What becomes of a workunit and its copies: pure. A workunit is active until it ends, once and for ever, as accepted,
 * failed or cancelled. Copies that are to be sent have no entry yet: `copiesToSend` says how many there are.
 */

export type FailureCause = (WorkunitProgress & { kind: 'failed' })['cause']

export type CopyState =
  /** A host has it. */
  | 'sent'
  /** Reported as a success, and not compared with others yet. */
  | 'reported'
  /** The one that counts. */
  | 'accepted'
  /** The same result as the one that counts. */
  | 'agreeing'
  /** Another result than the one that counts. */
  | 'wrong'
  /** The host could not compute it, or sent an archive that cannot be read. */
  | 'failed'
  /** Nobody could tell whether it is the same as another. */
  | 'incomparable'
  /** It needed more than the workunit may take. */
  | 'limited'
  /** The volunteer or his client gave it back. */
  | 'returned'
  | 'overdue'
  | 'detached'
  /** The host does not have it, however often it was sent. */
  | 'lost'
  /** Reported when the workunit had already ended without a result. */
  | 'unneeded'

export interface Copy {
  readonly number: number
  readonly state: CopyState
  /** Of what it computed, once that was read. */
  readonly digest?: string
  /** Why it did not succeed. */
  readonly cause?: FailureCause
  readonly message?: string
  /** Milliseconds since 1970. */
  readonly endedAt?: number
}

export interface WorkunitState {
  readonly kind: 'active' | 'accepted' | 'failed' | 'cancelled'
  /** Why it failed. */
  readonly cause?: FailureCause
  readonly message?: string
  readonly replication: Replication
  readonly copies: readonly Copy[]
}

/** What a host said about a copy. */
export type Verdict =
  | { readonly kind: 'success' }
  | {
      readonly kind: 'failed' | 'limited' | 'returned'
      readonly cause: FailureCause
      readonly message: string
    }

export type Judgement =
  | { readonly kind: 'sound'; readonly number: number; readonly digest: string }
  | { readonly kind: 'broken' | 'incomparable'; readonly number: number; readonly message: string }

export type WorkunitEvent =
  | { readonly kind: 'sent'; readonly number: number }
  | { readonly kind: 'reported'; readonly number: number; readonly verdict: Verdict; readonly at: number }
  /** Archives of reported copies were read. */
  | { readonly kind: 'judged'; readonly judgements: readonly Judgement[]; readonly at: number }
  | {
      readonly kind: 'missed'
      readonly number: number
      readonly how: 'overdue' | 'detached' | 'lost'
      readonly at: number
    }
  | { readonly kind: 'cancelled' }

/** The state after an event. The same object where the event changes nothing, as with results that do not count. */
export function nextState(state: WorkunitState, event: WorkunitEvent): WorkunitState {
  const changed = apply(state, event)
  return changed === state ? state : settle(changed)
}

/** How many more copies hosts are to get now. */
export function copiesToSend({ kind, replication, copies }: WorkunitState): number {
  if (kind !== 'active') return 0
  const underWay = countOf(copies, 'sent')
  const successes = countOf(copies, 'reported')
  const wanted = Math.max(
    replication.target - underWay - successes,
    replication.quorum - underWay - largestAgreement(copies),
  )
  return Math.max(0, Math.min(wanted, replication.copiesAtMost - copies.length))
}

/** Copies whose archives are to be read now. */
export function copiesToJudge({ kind, replication, copies }: WorkunitState): readonly number[] {
  if (kind === 'failed' || kind === 'cancelled') return []
  if (kind === 'active' && countOf(copies, 'reported') < replication.quorum) return []
  return copies
    .filter(({ state, digest }) => state === 'reported' && digest === undefined)
    .map(({ number }) => number)
}

function apply(state: WorkunitState, event: WorkunitEvent): WorkunitState {
  switch (event.kind) {
    case 'sent':
      return { ...state, copies: [...state.copies, { number: event.number, state: 'sent' }] }
    case 'reported':
      return replace(state, event.number, (copy) => afterReport(state, copy, event))
    case 'missed':
      return replace(state, event.number, (copy) =>
        copy.state === 'sent' ? { ...copy, state: event.how, ...missed[event.how], endedAt: event.at } : copy,
      )
    case 'judged':
      return event.judgements.reduce(
        (judged, judgement) =>
          replace(judged, judgement.number, (copy) => afterJudgement(copy, judgement, event.at)),
        state,
      )
    case 'cancelled':
      return state.kind === 'active' ? { ...state, kind: 'cancelled' } : state
  }
}

const missed = {
  overdue: { cause: 'lost', message: 'No result came before the deadline.' },
  detached: { cause: 'lost', message: 'The host left the project.' },
  lost: { cause: 'lost', message: 'The host does not have it, although it was sent several times.' },
} as const

/** A late success counts as long as there is no other result. */
const openToReports: ReadonlySet<CopyState> = new Set(['sent', 'overdue', 'detached', 'lost'])

function afterReport(
  { kind }: WorkunitState,
  copy: Copy,
  { verdict, at }: WorkunitEvent & { kind: 'reported' },
): Copy {
  if (!openToReports.has(copy.state) || (kind !== 'active' && copy.state !== 'sent')) return copy
  // Who missed the deadline and then failed changes nothing: it was replaced already.
  if (copy.state !== 'sent' && verdict.kind !== 'success') return copy
  if (kind === 'failed' || kind === 'cancelled') return { ...copy, state: 'unneeded', endedAt: at }
  const { number } = copy
  if (verdict.kind === 'success') return { number, state: 'reported', endedAt: at }
  return { number, state: verdict.kind, cause: verdict.cause, message: verdict.message, endedAt: at }
}

function afterJudgement(copy: Copy, judgement: Judgement, at: number): Copy {
  if (copy.state !== 'reported' || copy.digest !== undefined) return copy
  if (judgement.kind === 'sound') return { ...copy, digest: judgement.digest }
  const { message } = judgement
  return judgement.kind === 'broken'
    ? { ...copy, state: 'failed', cause: 'node-failure', message, endedAt: at }
    : { ...copy, state: 'incomparable', cause: 'unknown', message, endedAt: at }
}

function replace(state: WorkunitState, number: number, change: (copy: Copy) => Copy): WorkunitState {
  const copy = state.copies.find((copy) => copy.number === number)
  if (copy === undefined) return state
  const changed = change(copy)
  if (changed === copy) return state
  return { ...state, copies: state.copies.map((other) => (other === copy ? changed : other)) }
}

function settle(state: WorkunitState): WorkunitState {
  if (state.kind === 'accepted') return compareWithAccepted(state)
  if (state.kind !== 'active') return state
  const digest = agreedDigest(state)
  if (digest !== undefined) return accept(state, digest)
  const failure = failureOf(state)
  return failure === undefined ? state : { ...state, kind: 'failed', ...failure }
}

/** The digest that enough copies share: of several the one with the most copies, then the earliest copy. */
function agreedDigest({ copies, replication }: WorkunitState): string | undefined {
  const counts = agreements(copies)
  const most = Math.max(0, ...counts.values())
  if (most < Math.max(1, replication.quorum)) return undefined
  return [...counts].find(([, count]) => count === most)?.[0]
}

function accept(state: WorkunitState, digest: string): WorkunitState {
  const first = state.copies.find((copy) => copy.state === 'reported' && copy.digest === digest)
  const copies = state.copies.map((copy) =>
    copy === first ? { ...copy, state: 'accepted' as const } : compare(copy, digest),
  )
  return { ...state, kind: 'accepted', copies }
}

function compareWithAccepted(state: WorkunitState): WorkunitState {
  const digest = state.copies.find((copy) => copy.state === 'accepted')?.digest ?? ''
  return { ...state, copies: state.copies.map((copy) => compare(copy, digest)) }
}

function compare(copy: Copy, digest: string): Copy {
  if (copy.state !== 'reported' || copy.digest === undefined) return copy
  return { ...copy, state: copy.digest === digest ? 'agreeing' : 'wrong' }
}

const errors: ReadonlySet<CopyState> = new Set(['failed', 'limited', 'incomparable'])

function failureOf(state: WorkunitState): { cause: FailureCause; message: string } | undefined {
  const { copies, replication } = state
  const limited = copies.filter((copy) => copy.state === 'limited')
  if (limited.length >= replication.quorum) return reasonOf(limited)
  const failed = copies.filter(({ state }) => errors.has(state))
  if (failed.length >= Math.max(1, replication.errorsAtMost)) return reasonOf(failed)
  const possible =
    countOf(copies, 'sent') + largestAgreement(copies) + replication.copiesAtMost - copies.length
  if (possible >= replication.quorum) return undefined
  const without = copies.filter((copy) => copy.state !== 'reported')
  if (without.length > 0) return reasonOf(without)
  return { cause: 'unknown', message: `The results of ${copies.length} hosts do not agree.` }
}

/** Why the last of them ended. */
function reasonOf(copies: readonly Copy[]): { cause: FailureCause; message: string } {
  const last = copies.reduce((latest, copy) => ((copy.endedAt ?? 0) >= (latest.endedAt ?? 0) ? copy : latest))
  return { cause: last.cause ?? 'unknown', message: last.message ?? 'No host gave a result that counts.' }
}

function countOf(copies: readonly Copy[], state: CopyState): number {
  return copies.reduce((count, copy) => (copy.state === state ? count + 1 : count), 0)
}

/** How many results agree at most, if those that were not read yet turn out well. */
function largestAgreement(copies: readonly Copy[]): number {
  const unread = copies.filter((copy) => copy.state === 'reported' && copy.digest === undefined).length
  return unread + Math.max(0, ...agreements(copies).values())
}

function agreements(copies: readonly Copy[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { state, digest } of copies)
    if (state === 'reported' && digest !== undefined) counts.set(digest, (counts.get(digest) ?? 0) + 1)
  return counts
}
