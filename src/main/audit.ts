import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { findChanges, showOptions } from '../config/changes.ts'
import type { Configuration } from '../config/options.ts'
import { openAuditLog, type AuditLog } from '../store/audit-log.ts'
import type { Preferences } from '../store/preferences.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** Opens the audit log of a data directory. */
export function openAudit(
  { dataDirectory, auditBytes: maxBytes }: Configuration,
  metrics: Metrics,
  now: () => number,
  log: Log,
): Promise<AuditLog> {
  return openAuditLog({
    path: join(dataDirectory, 'audit.log'),
    maxBytes,
    now,
    elapsedMs: () => performance.now(),
    warn(message) {
      metrics.auditFailed()
      log.warn(message)
    },
  })
}

/** Tells of a password and of options that are others than at the start before. */
export async function auditStart(
  configuration: Configuration,
  { preferences, isPasswordNew }: { readonly preferences: Preferences; readonly isPasswordNew: boolean },
  audit: AuditLog,
): Promise<void> {
  if (isPasswordNew) audit.record({ action: 'password', outcome: 'ok' })
  const shown = showOptions(configuration)
  const before = preferences.current().configuration
  for (const change of before === undefined ? [] : findChanges(before, shown))
    audit.record({ action: 'configuration', outcome: 'ok', object: change })
  if (!isDeepStrictEqual(before, shown))
    await preferences.update((current) => ({ ...current, configuration: { ...shown } }))
}
