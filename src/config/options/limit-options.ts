import { bytes, duration, number } from '../option-kinds.ts'
import { option } from './option.ts'
import { longestTimerMs, kibibyte, mebibyte, gibibyte, pebibyte } from './units.ts'

/** What clients may send, and how much the server takes on at the same time. */
export const limitOptions = {
  uploadBytes: option<number>({
    name: 'upload-limit',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'Largest work directory that may be posted, as packed.',
    fallback: () => 20 * gibibyte,
  }),
  unpackedBytes: option<number>({
    name: 'unpacked-limit',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'Largest work directory that may be posted, when unpacked.',
    fallback: () => 100 * gibibyte,
  }),
  archiveEntries: option<number>({
    name: 'archive-entries',
    kind: number({ minimum: 1, maximum: 100_000_000 }),
    description: 'Most files and directories that a posted work directory may hold.',
    fallback: () => 200_000,
  }),
  outputBytes: option<number>({
    name: 'output-limit',
    kind: bytes({ minimum: kibibyte, maximum: gibibyte }),
    description: 'Most text output that is kept of one execution.',
    fallback: () => 8 * mebibyte,
  }),
  shutdownMs: option<number>({
    name: 'shutdown-time',
    kind: duration({ minimum: 0, maximum: longestTimerMs }),
    description: 'How long requests may take to end once the server is asked to stop.',
    fallback: () => 10_000,
  }),
  maxConnections: option<number>({
    name: 'max-connections',
    kind: number({ minimum: 1, maximum: 1_000_000 }),
    description:
      'How many connections are served at the same time; more are told to come again (503), and cut where they are very many. Never more than three fifths of the files that may be open.',
    fallback: () => 1000,
  }),
  requestsPerSecond: option<number>({
    name: 'request-rate',
    kind: number({ minimum: 0, maximum: 1_000_000 }),
    description:
      'How many requests a second an address, and a token, may send on the average; 0 limits nothing.',
    fallback: () => 50,
  }),
  requestBurst: option<number>({
    name: 'request-burst',
    kind: number({ minimum: 1, maximum: 1_000_000 }),
    description: 'How many requests an address, and a token, may send at once after a rest.',
    fallback: () => 200,
  }),
  maxExecutions: option<number>({
    name: 'max-executions',
    kind: number({ minimum: 1, maximum: 100_000 }),
    description: 'How many executions run at the same time; further ones wait for their turn.',
    fallback: () => 20,
  }),
  maxQueuedExecutions: option<number>({
    name: 'max-queued-executions',
    kind: number({ minimum: 0, maximum: 1_000_000 }),
    description: 'How many executions may wait for their turn; more are refused.',
    fallback: () => 1000,
  }),
  maxJobs: option<number>({
    name: 'max-jobs',
    kind: number({ minimum: 1, maximum: 1_000_000_000 }),
    description: 'Most jobs of one execution: an exploration that would bring more fails it.',
    fallback: () => 10_000_000,
  }),
  diskReserveBytes: option<number>({
    name: 'disk-reserve',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description:
      'While less than this is free where the data directory lies, nothing new is taken; 0 never refuses.',
    fallback: () => 512 * mebibyte,
  }),
} as const
