import { expect, test } from 'vitest'
import { errorOfAnswer } from '../cluster/api-errors.ts'
import { isJobOf, meaningOf } from './outcome.ts'

const address = 'https://cluster.example.org:6443'

/** What an API server answers, read as the connection reads it. */
function answer(status: number, told: Readonly<Record<string, unknown>>) {
  const text = JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code: status, ...told })
  return meaningOf(errorOfAnswer({ status, text }, address), 'simulations')
}

const rejected = (reason: string) => ({ kind: 'outcome', outcome: { kind: 'rejected', reason } })
const deferred = (reason: string) => ({ kind: 'outcome', outcome: { kind: 'deferred', reason } })
const unusable = (words: string) => ({ kind: 'environment', message: expect.stringContaining(words) })

test('a Job of this name is there', () => {
  const message = 'jobs.batch "mh-job-1" already exists'
  expect(answer(409, { reason: 'AlreadyExists', message })).toEqual({ kind: 'exists' })
})

test('another conflict passes', () => {
  const message = 'Operation cannot be fulfilled on resourcequotas "small": the object has been modified'
  expect(answer(409, { reason: 'Conflict', message })).toEqual(deferred(message))
})

test.each([
  [400, 'BadRequest', 'Job in version "v1" cannot be handled as a Job'],
  [413, 'RequestEntityTooLarge', 'limit is 3145728'],
  [422, 'Invalid', 'Job.batch "x" is invalid: spec.template.spec.containers[0].image: Required value'],
])('%i is refused for good, in the words of the server', (status, reason, message) => {
  expect(answer(status, { reason, message })).toEqual(rejected(message))
})

test('a quota defers', () => {
  const message = 'jobs.batch "mh-job-1" is forbidden: exceeded quota: small, requested: count/jobs.batch=1'
  expect(answer(403, { reason: 'Forbidden', message })).toEqual(deferred(message))
})

test('what an admission webhook denies is refused for good', () => {
  const message = 'admission webhook "validate.kyverno.svc-fail" denied the request: no latest tags'
  expect(answer(403, { reason: 'Forbidden', message })).toEqual(rejected(message))
})

test("a missing right is the environment's", () => {
  const message = 'jobs.batch is forbidden: User "ada" cannot create resource "jobs" in API group "batch"'
  expect(answer(403, { reason: 'Forbidden', message })).toEqual(unusable('User "ada" cannot create'))
})

test('a namespace that is being deleted is told', () => {
  const message =
    'jobs.batch "x" is forbidden: unable to create new content in namespace simulations because it is being terminated'
  const details = { causes: [{ reason: 'NamespaceTerminating' }] }
  expect(answer(403, { reason: 'Forbidden', message, details })).toEqual(
    unusable('The namespace simulations is being deleted'),
  )
})

test('a namespace that is not there is told', () => {
  const message = 'namespaces "simulations" not found'
  expect(answer(404, { reason: 'NotFound', message, details: { kind: 'namespaces' } })).toEqual(
    unusable('There is no namespace simulations'),
  )
})

test('refused credentials are told', () => {
  expect(answer(401, { reason: 'Unauthorized', message: 'Unauthorized' })).toEqual(
    unusable('refuses the credentials: Unauthorized'),
  )
})

test.each([408, 429, 500, 502, 503, 504])('%i defers', (status) => {
  expect(answer(status, { reason: 'X', message: 'busy' })).toEqual(deferred('busy'))
})

test('no answer leaves it open', () => {
  const error = {
    status: 0,
    reason: 'TimedOut',
    message: 'silence',
    details: undefined,
  }
  expect(meaningOf(error, 'simulations')).toEqual({ kind: 'unknown', reason: 'silence' })
})

test('what answers as no API server does is told', () => {
  const page = (status: number) =>
    meaningOf(errorOfAnswer({ status, text: '<html>welcome</html>' }, address), 'simulations')
  expect(page(404)).toEqual(unusable('not as an API server does'))
  expect(page(302)).toEqual(unusable('not as an API server does'))
  expect(page(502)).toMatchObject({ outcome: { kind: 'deferred' } })
})

test('a Job is ours when it has our labels', () => {
  const labels = { 'molehill/instance': 'i', 'molehill/attempt': 'a' }
  expect(isJobOf({ metadata: { labels: { ...labels, more: 'x' } } }, labels)).toBe(true)
  expect(isJobOf({ metadata: { labels: { ...labels, 'molehill/instance': 'j' } } }, labels)).toBe(false)
  expect(isJobOf({}, labels)).toBe(false)
})
