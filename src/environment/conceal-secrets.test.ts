import { expect, test } from 'vitest'
import { blankSecrets, concealSecrets } from './conceal-secrets.ts'
import {
  EnvironmentError,
  toJobId,
  type CheckFinding,
  type JobId,
  type SubmitOutcome,
} from './environment.ts'
import { FakeEnvironment } from './fake.ts'

const secret = 'open sesame'
const signal = AbortSignal.timeout(60_000)

test('errors of an environment tell no secret, in message, stack or cause', async () => {
  const environment = new FakeEnvironment()
  const cause = new Error(`refused: ${secret}`)
  environment.outage = new EnvironmentError(`cannot log in with ${secret}`, { cause })
  const error: unknown = await concealSecrets(environment, [secret])
    .check(signal)
    .catch((error: unknown) => error)
  expect(error).toBeInstanceOf(EnvironmentError)
  expect(error).toMatchObject({
    message: 'cannot log in with [secret]',
    cause: { message: 'refused: [secret]' },
  })
  expect(error instanceof Error && error.stack).not.toContain(secret)
})

test('findings tell none either', async () => {
  class Inspected extends FakeEnvironment {
    async inspect(): Promise<readonly CheckFinding[]> {
      return [{ what: 'host', isGood: false, message: `no ${secret}`, fix: `not ${secret}` }]
    }
  }
  const environment = concealSecrets(new Inspected(), [secret])
  expect(await environment.inspect?.(signal)).toEqual([
    { what: 'host', isGood: false, message: 'no [secret]', fix: 'not [secret]' },
  ])
})

test('news of jobs tell none, and handles stay as they are', async () => {
  const handle = { id: toJobId('a'), nativeId: secret, state: { version: 1 } }
  class Careless extends FakeEnvironment {
    override async submit() {
      return new Map<JobId, SubmitOutcome>([
        [toJobId('a'), { kind: 'accepted', handle }],
        [toJobId('b'), { kind: 'rejected', reason: `not with ${secret}` }],
      ])
    }
  }
  const outcomes = await concealSecrets(new Careless(), [secret]).submit([], signal)
  expect([...outcomes.values()]).toEqual([
    { kind: 'accepted', handle },
    { kind: 'rejected', reason: 'not with [secret]' },
  ])
})

test('everything else is as it was', async () => {
  const fake = new FakeEnvironment()
  const environment = concealSecrets(fake, [secret])
  expect(environment.name).toBe('fake')
  expect(environment.capabilities).toBe(fake.capabilities)
  expect('inspect' in environment).toBe(false)
  expect(await environment.recover([], signal)).toEqual([])
  await environment.close()
  expect(concealSecrets(fake, [])).toBe(fake)
})

test('a secret that is hardly one is not blanked: that would tell it', () => {
  expect(blankSecrets('a tall tree', ['t'])).toBe('a tall tree')
})
