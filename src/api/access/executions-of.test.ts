import { mkdtemp, rm, writeFile, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createFakeExecutions, type FakeExecutions } from '../../../test/helpers/fake-executions.ts'
import { executionsOf, type OwnExecutions } from './executions-of.ts'
import { nobody, type Principal, type UserPrincipal } from './principal.ts'

const user = (name: string): UserPrincipal => ({
  kind: 'user',
  id: `key of ${name}`,
  name,
  rights: { submitter: false, workflows: 'catalog' },
})
const operator: Principal = { kind: 'operator', id: 'token' }
const { signal } = new AbortController()

let directory: string
let all: FakeExecutions
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-own-'))
  all = createFakeExecutions(join(directory, 'executions'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const start = (executions: OwnExecutions, labels = {}): Promise<string> =>
  executions.start({
    script: 'flow.ts',
    signal,
    labels,
    async fill(workDirectory) {
      await mkdir(workDirectory, { recursive: true })
      await writeFile(join(workDirectory, 'flow.ts'), 'export default 1')
    },
  })

test('what a user starts is his, and listed for him and for the operator only', async () => {
  const [ann, bob] = [executionsOf(all, user('ann')), executionsOf(all, user('bob'))]
  const hers = await start(ann, { 'caesar.run': 'r1' })
  const his = await start(bob, { 'caesar.run': 'r1' })
  const idsOf = (executions: OwnExecutions, labels = {}) => executions.list({ labels }).map(({ id }) => id)
  expect(idsOf(ann)).toEqual([hers])
  expect(idsOf(bob, { 'caesar.run': 'r1' })).toEqual([his])
  expect(idsOf(bob, { 'caesar.run': 'r2' })).toEqual([])
  expect(idsOf(executionsOf(all, operator))).toEqual([hers, his])
  // Nobody reaches for another one's by naming her.
  expect(bob.list({ owner: 'ann' }).map(({ id }) => id)).toEqual([his])
})

test('the executions of others are as if they were not there, for everything that can be asked', async () => {
  const bob = executionsOf(all, user('bob'))
  const hers = await start(executionsOf(all, user('ann')))
  const theOperators = await start(executionsOf(all, operator))
  const questions: readonly (readonly [string, (id: string) => unknown])[] = [
    ['state', (id) => bob.state(id)],
    ['ended', async (id) => bob.ended(id, signal)],
    ['output', async (id) => bob.output(id)],
    ['printing', async (id) => bob.printing(id)],
    ['workDirectory', (id) => bob.workDirectory(id)],
    ['jobs', (id) => bob.jobs(id, { limit: 1 })],
    ['events', (id) => bob.events(id, 0, signal)],
    ['explain', (id) => bob.explain(id)],
    ['cancel', async (id) => bob.cancel(id)],
    ['remove', async (id) => bob.remove(id)],
    ['storedBytes', async (id) => bob.storedBytes(id)],
    ['summary', (id) => bob.summary(id)],
  ]
  const elsewhere = new Set(['start', 'validate', 'list'])
  expect(questions.map(([name]) => name).sort()).toEqual(
    Object.keys(bob)
      .filter((name) => !elsewhere.has(name))
      .sort(),
  )
  for (const id of [hers, theOperators, 'nothing'])
    for (const [name, ask] of questions)
      await expect((async () => ask(id))(), name).rejects.toMatchObject({
        code: 'execution-unknown',
        message: 'Execution not found',
      })
  expect([...all.all.keys()]).toEqual([hers, theOperators])
})

test('nobody has executions', () => {
  expect(() => executionsOf(all, nobody)).toThrow('valid token')
})
