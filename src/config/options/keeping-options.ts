import { bytes, duration, number } from '../option-kinds.ts'
import { option } from './option.ts'
import { longestTimerMs, kibibyte, mebibyte, pebibyte } from './units.ts'

/** What is kept, how long, and how much of each user. */
export const keepingOptions = {
  retentionMs: option<number>({
    name: 'retention',
    kind: duration({ minimum: 0, maximum: 36_525 * 86_400_000 }),
    description:
      'How long executions that have ended are kept before they are removed with their files; 0 is for ever.',
    fallback: () => 0,
  }),
  maxFinished: option<number>({
    name: 'max-finished',
    kind: number({ minimum: 0, maximum: 100_000_000 }),
    description:
      'How many executions that have ended are kept: of more, those that ended first are removed; 0 keeps all.',
    fallback: () => 0,
  }),
  userStoredBytes: option<number>({
    name: 'user-storage',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description:
      'How much is kept of a user, in executions and in what was uploaded; 0 limits nothing. A user may have another limit.',
    fallback: () => 0,
  }),
  userRunningJobs: option<number>({
    name: 'user-running-jobs',
    kind: number({ minimum: 0, maximum: 1_000_000_000 }),
    description:
      'How many jobs of a user run at the same time, further ones wait; 0 limits nothing. A user may have another limit.',
    fallback: () => 0,
  }),
  userQueuedJobs: option<number>({
    name: 'user-queued-jobs',
    kind: number({ minimum: 0, maximum: 1_000_000_000 }),
    description:
      'With so many jobs of a user waiting, nothing more is started; 0 limits nothing. A user may have another limit.',
    fallback: () => 0,
  }),
  housekeepingMs: option<number>({
    name: 'housekeeping-interval',
    kind: duration({ minimum: 100, maximum: longestTimerMs }),
    description: 'How often the server looks for what is to be removed and how full the disk is.',
    fallback: () => 60_000,
  }),
  auditBytes: option<number>({
    name: 'audit-size',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'An audit log of this size is set aside, and the next one begins.',
    fallback: () => 64 * mebibyte,
  }),
} as const
