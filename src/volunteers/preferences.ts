import type { HostTable, VolunteerRow } from './host-table.ts'

const charactersAtMost = 64 * 1024

/**
 * Keeps a volunteer's preferences where a host brings newer ones, and gives those back that are newer than the host's.
 * Preferences are XML that says itself when it was changed; the text stays as it came.
 */
export function bringPreferences(
  hosts: HostTable,
  { id, preferences: kept }: VolunteerRow,
  brought: string | undefined,
): string | undefined {
  const changedAt = brought === undefined ? 0 : changeOf(brought)
  const keptAt = kept === null ? 0 : changeOf(kept)
  if (brought !== undefined && brought.length <= charactersAtMost && changedAt > keptAt)
    hosts.keepPreferences(id, brought)
  return kept !== null && keptAt > changedAt ? kept : undefined
}

/** Seconds since 1970; 0 where it does not say. */
function changeOf(preferences: string): number {
  return Number(/<mod_time>\s*(\d{1,12})/.exec(preferences)?.[1] ?? 0)
}
