import { expect, test } from 'vitest'
import { toJobId } from '../../../src/environment/environment.ts'
import { annotationsOf, labelsOf } from './names.ts'
import { OwnedObjects } from './owned-objects.ts'
import type { WirePod } from '../cluster/wire.ts'

const id = toJobId('job-1')
const identity = { id, instance: 'here', execution: 'e' }
const pod = (uid: string, phase = 'Pending'): WirePod => ({
  metadata: { uid, name: uid, labels: labelsOf(identity), annotations: annotationsOf(identity) },
  status: { phase },
})
const map = (...pods: readonly WirePod[]) => new Map(pods.map((each) => [each.metadata?.uid ?? '', each]))

test('pods are found by their job, as they are now, until they are gone', () => {
  const owned = new OwnedObjects<WirePod>('here')
  owned.take([pod('a'), pod('b')], map(pod('a', 'Running'), pod('b')))
  expect(owned.of(id).map(({ status }) => status?.phase)).toEqual(['Running', 'Pending'])
  expect(owned.take([pod('a')], map(pod('b')))).toMatchObject([{ id, isGone: true }])
  expect(owned.of(id)).toEqual([pod('b')])
  owned.take([pod('b')], map())
  expect(owned.of(id)).toEqual([])
})

test('objects of another server are nobody’s', () => {
  const owned = new OwnedObjects<WirePod>('elsewhere')
  expect(owned.take([pod('a')], map(pod('a')))).toEqual([])
  expect(owned.of(id)).toEqual([])
})
