import { setInterval } from 'node:timers'
import type { AuditLog } from '../store/audit-log.ts'
import { toProblem } from '../problem.ts'
import type { Accounts } from '../volunteers/accounts.ts'

const everyMs = 5000
const toldAtOnce = 200

/**
 * Tells the audit log what was done to volunteers' accounts, by the command line too: also what was done while the
 * server was off. What was told when the server dies may be told again.
 */
export function auditAccounts(
  accounts: Pick<Accounts, 'changes' | 'told'>,
  audit: Pick<AuditLog, 'record' | 'flushed'>,
  warn: (message: string) => void,
): AsyncDisposable {
  const tellSome = async (): Promise<void> => {
    for (;;) {
      const changes = accounts.changes(toldAtOnce)
      const last = changes.at(-1)
      if (last === undefined) return
      for (const { at, action, object, address } of changes) {
        const how = address === undefined ? `, by the command line at ${new Date(at).toISOString()}` : ''
        audit.record({ action, outcome: 'ok', object: `${object}${how}`, address })
      }
      await audit.flushed()
      accounts.told(last)
    }
  }
  let telling = Promise.resolve()
  const tell = (): Promise<void> =>
    (telling = telling.then(tellSome).catch((error: unknown) => {
      warn(`Changes of volunteers' accounts cannot be told to the audit log: ${toProblem(error).message}`)
    }))
  void tell()
  const timer = setInterval(() => void tell(), everyMs)
  timer.unref()
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await tell()
    },
  }
}
