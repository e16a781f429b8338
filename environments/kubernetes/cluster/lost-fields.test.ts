import { expect, test } from 'vitest'
import { toJobId } from '../../../src/environment/environment.ts'
import { jobBody } from '../pods/job-body.ts'
import { lostFields } from './lost-fields.ts'
import { kubernetesOptions } from '../options.ts'

function sent() {
  const options = kubernetesOptions.parse({ image: 'x', queue: 'team' })
  const identity = { id: toJobId('job-1'), instance: 'i', execution: 'e' }
  return jobBody({ ...identity, resources: { cpus: 1, memoryBytes: 2 ** 30, wallTimeMs: 1000 } }, options)
}

test('all that comes back is kept, also in other words and among more', () => {
  const kept = structuredClone(sent())
  kept.metadata!.uid = 'u'
  kept.spec!.template.spec!.containers[0]!.resources!.limits = { memory: '1Gi' }
  kept.spec!.template.spec!.containers.unshift({ name: 'injected' })
  expect(lostFields(sent(), kept)).toEqual([])
})

test('what an older server drops is named, each whole once', () => {
  const kept = structuredClone(sent())
  delete kept.spec!.podReplacementPolicy
  delete kept.spec!.podFailurePolicy
  delete kept.spec!.suspend
  delete kept.spec!.template.spec!.containers[1]!.volumeMounts
  expect(lostFields(sent(), kept)).toEqual([
    'spec.podReplacementPolicy',
    'spec.podFailurePolicy',
    'spec.suspend',
    'spec.template.spec.containers[stage-out].volumeMounts',
  ])
})

test.each([
  [{ a: 1 }, undefined, ['']],
  [{ a: [1, 2] }, { a: [1] }, ['a[1]']],
  [{ a: [{ name: 'x', b: 1 }] }, { a: [{ name: 'y', b: 1 }] }, ['a[x]']],
  [{ a: { b: 1 } }, { a: 'text' }, []],
  [{ a: {}, b: [], c: '', d: false, e: 0, f: undefined, g: null }, {}, []],
  [{ a: true }, { a: false }, []],
])('%j kept as %j', (before, after, lost) => {
  expect(lostFields(before, after)).toEqual(lost)
})
