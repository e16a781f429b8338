import { expect, test } from 'vitest'
import type { Capabilities } from '../environment/environment.ts'
import { bundleSize } from './bundle-size.ts'

const cluster: Capabilities = {
  survivesRestart: true,
  sharedFileSystem: false,
  watch: false,
  resources: [],
  maxJobsPerSubmit: 1000,
  maxActiveJobs: 5000,
  pollInterval: { minMs: 1, maxMs: 1, stepMs: 1 },
}
const host: Capabilities = { ...cluster, slots: 4 }
const size = (waiting: number, callMs: number | undefined, more: object = {}): number =>
  bundleSize({ waiting, callMs, timeoutMs: null, capabilities: cluster, ...more })

test.each<[string, number, number]>([
  ['few calls of some seconds go alone', size(100, 5000), 1],
  ['many short calls go together, and leave work for every slot', size(51_200, 50), 400],
  ['but for the sake of other slots no job is made of less than two seconds', size(128, 10), 200],
  ['where slots are known, they count', size(4000, 10, { capabilities: host }), 500],
  ['calls of a minute go alone however many there are', size(1_000_000, 60_000), 1],
  ['calls of unknown length go alone', size(1_000_000, undefined), 1],
  [
    'calls with a limit go together as far as their limits add up to minutes',
    size(1_000_000, 1, { timeoutMs: 60_000 }),
    10,
  ],
  ['a long limit lets each go alone', size(1_000_000, 1, { timeoutMs: 3_600_000 }), 1],
  ['never are there more than a thousand', size(1_000_000_000, 0), 1000],
])('%s', (_, found, expected) => expect(found).toBe(expected))
