import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { toJobId, type JobRequest } from './environment.ts'
import { FakeEnvironment } from './fake.ts'

const request = (id: string): JobRequest => ({
  id: toJobId(id),
  command: ['program'],
  env: {},
  workDirectory: '/nowhere',
  inputs: [],
  outputs: [{ path: 'deep/result' }, { path: 'missing' }],
  resources: {},
})

test('a fake job ends when told and brings what its behaviour says', async () => {
  const environment = new FakeEnvironment(() => ({ stdout: 'said', outputs: { 'deep/result': 'r' } }))
  const outcome = (await environment.submit([request('one')])).get(toJobId('one'))
  if (outcome?.kind !== 'accepted') throw new Error('not accepted')
  const { handle } = outcome
  expect((await environment.observe([handle])).get(handle.id)).toEqual({ kind: 'running' })
  const told = new Promise((resolve) => environment.watch(resolve, new AbortController().signal))
  environment.finish(handle.id)
  expect(await told).toEqual(['one'])
  const directory = mkdtempSync(join(tmpdir(), 'molehill-fake-'))
  try {
    const collected = await environment.collect(handle, directory)
    expect(collected).toMatchObject({ files: ['deep/result'], missing: ['missing'] })
    expect(readFileSync(collected.stdout, 'utf8')).toBe('said')
  } finally {
    rmSync(directory, { recursive: true })
  }
  await environment.release([handle])
  expect((await environment.observe([handle])).get(handle.id)?.kind).toBe('lost')
  await environment.close()
})

test('a fake environment refuses, cancels and is away when told', async () => {
  const environment = new FakeEnvironment(({ id }) =>
    id === 'bad' ? { refusal: { kind: 'rejected', reason: 'bad' } } : {},
  )
  const outcomes = await environment.submit([request('bad'), request('good')])
  expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(['rejected', 'accepted'])
  const handles = await environment.recover([toJobId('bad'), toJobId('good')])
  await environment.cancel(handles)
  expect((await environment.observe(handles)).get(toJobId('good'))).toMatchObject({ cause: 'cancelled' })
  environment.outage = new Error('no network')
  await expect(environment.observe(handles)).rejects.toThrow('no network')
})
