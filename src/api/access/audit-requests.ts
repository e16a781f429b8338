import type { AuditLog } from '../../store/audit-log.ts'
import type { ProblemCode } from '../../problem.ts'
import type { ObservedRequest } from '../observe.ts'
import { addressKey, createRequestLimiter } from './request-limiter.ts'

/** What is told of requests whose route has no action of its own. */
const refusals: ReadonlySet<string> = new Set<ProblemCode>(['token-invalid', 'requests-throttled'])

/** Whoever is refused again and again fills the log with the first twenty, then with one every five seconds. */
const refusalsAtOnce = 20
const refusalsPerSecond = 0.2

/** Tells the audit log of requests that do something, and of those that were refused. */
export function createRequestAudit(
  log: Pick<AuditLog, 'record'>,
  elapsedMs: () => number,
): (request: ObservedRequest) => void {
  const limiter = createRequestLimiter({ perSecond: refusalsPerSecond, burst: refusalsAtOnce, elapsedMs })
  let leftOut = 0
  const isWorthALine = (address: string): boolean => {
    try {
      limiter.take(addressKey(address))
      return true
    } catch {
      return false
    }
  }
  return ({ audit, code, executionId, object, path, tokenId, user, address, requestId }) => {
    if (audit === undefined && (code === undefined || !refusals.has(code))) return
    if (code !== undefined && !isWorthALine(address)) {
      leftOut += 1
      return
    }
    log.record({
      action: audit ?? 'request',
      outcome: code ?? 'ok',
      object: audit === undefined ? path : (object ?? executionId),
      tokenId,
      ...(user !== undefined && { user }),
      address,
      requestId,
      ...(leftOut > 0 && { leftOut }),
    })
    leftOut = 0
  }
}
