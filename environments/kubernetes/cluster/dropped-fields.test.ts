import { expect, test } from 'vitest'
import { warningOfDropped } from './dropped-fields.ts'

const pod = { spec: { affinity: { nodeAffinity: 'x' }, schedulingGates: [{ name: 'gate' }] } }
const sent = { spec: { suspend: true, podReplacementPolicy: 'Failed', parallelism: 1, template: pod } }

test('a field of the template that the server dropped is named', () => {
  const kept = {
    spec: { suspend: true, parallelism: 1, template: { spec: { affinity: pod.spec.affinity } } },
  }
  expect(warningOfDropped(sent, kept)).toMatch(/leaves them out: spec\.template\.spec\.schedulingGates\./)
})

test('a dropped suspend is told with what comes of it', () => {
  expect(warningOfDropped(sent, { spec: { parallelism: 1, template: pod } })).toMatch(/before their queue/)
})

test('nothing is said of fields that nobody misses, nor of what the server adds', () => {
  const kept = { spec: { suspend: true, parallelism: 1, completions: 1, template: pod }, status: {} }
  expect(warningOfDropped(sent, kept)).toBeUndefined()
})
