import { describe, expect, test } from 'vitest'
import { toJobId } from '../../../src/environment/environment.ts'
import {
  annotationsOf,
  executionSelector,
  instanceSelector,
  jobIdOf,
  jobName,
  labelsOf,
  labelValue,
} from './names.ts'

const rfc1123 = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/
const rfcLabel = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/

const ids = ['a', 'A', 'a-', 'a--', 'A-', 'job-1-2', 'Job-1-2', 'x'.repeat(60), 'x'.repeat(61)]
  .concat(['x'.repeat(199), `${'x'.repeat(199)}y`, 'a1', 'a1-', `a-${'-'.repeat(100)}`])
  .map(toJobId)

describe('jobName', () => {
  test('keeps ids that Kubernetes takes', () => {
    expect(jobName(toJobId('job-1-2'))).toBe('mh-job-1-2')
    expect(jobName(toJobId('x'.repeat(60)))).toBe(`mh-${'x'.repeat(60)}`)
  })

  test('gives names that Kubernetes takes, a different one for each id', () => {
    const names = ids.map(jobName)
    for (const name of names) {
      expect(name).toMatch(rfc1123)
      expect(name.length).toBeLessThanOrEqual(63)
    }
    expect(new Set(names).size).toBe(ids.length)
  })

  test('gives no changed id the name of an unchanged one', () => {
    const changed = jobName(toJobId('Job'))
    expect(changed).toMatch(/^mhx-job-[0-9a-f]{20}$/)
    expect(jobName(toJobId(changed.slice('mhx-'.length)))).not.toBe(changed)
    expect(jobName(toJobId(changed))).toBe(`mh-${changed}`)
  })
})

describe('labelValue', () => {
  test('keeps what fits, and makes the rest fit with a hash', () => {
    expect(labelValue('forest-Fire_2.1')).toBe('forest-Fire_2.1')
    expect(labelValue('größe des Waldes')).toMatch(/^gredesWaldes_[0-9a-f]{20}$/)
    expect(labelValue('')).toMatch(/^x_[0-9a-f]{20}$/)
    expect(labelValue('-.-')).toMatch(/^x_[0-9a-f]{20}$/)
  })

  test('gives values that Kubernetes takes, a different one for each text', () => {
    const texts = [...ids, '', ' ', '-', '_', 'ä', 'Ä', 'a b', 'ab', 'x'.repeat(63), 'x'.repeat(64)]
    const values = [...texts, ...texts.map(labelValue).filter((value) => !texts.includes(value))].map(
      labelValue,
    )
    for (const value of values) {
      expect(value).toMatch(rfcLabel)
      expect(value.length).toBeLessThanOrEqual(63)
    }
    expect(new Set(values).size).toBe(values.length)
  })
})

describe('whose an object is', () => {
  const identity = {
    id: toJobId(`Job-${'7'.repeat(80)}`),
    instance: 'abc',
    execution: '0123',
    capsule: 'model',
  }
  const object = { metadata: { labels: labelsOf(identity), annotations: annotationsOf(identity) } }

  test('the labels name instance, execution, capsule and attempt', () => {
    expect(labelsOf(identity)).toEqual({
      'molehill/instance': 'abc',
      'molehill/execution': '0123',
      'molehill/capsule': 'model',
      'molehill/attempt': labelValue(identity.id),
    })
    const { capsule: _capsule, ...without } = identity
    expect(labelsOf(without)).not.toHaveProperty('molehill/capsule')
  })

  test('the whole id is found again', () => {
    expect(jobIdOf(object, 'abc')).toBe(identity.id)
  })

  test('an object of another instance, or of nobody, is not ours', () => {
    expect(jobIdOf(object, 'abd')).toBeUndefined()
    expect(jobIdOf({}, 'abc')).toBeUndefined()
    expect(jobIdOf({ metadata: { labels: { 'molehill/instance': 'abc' } } }, 'abc')).toBeUndefined()
  })

  test('selectors name instance and execution', () => {
    expect(instanceSelector('abc')).toBe('molehill/instance=abc')
    expect(executionSelector('abc', '0123')).toBe('molehill/instance=abc,molehill/execution=0123')
  })
})
