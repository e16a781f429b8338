import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { recoverSubmissions } from './dialect.ts'
import type { SubmissionParts } from './parts.ts'
import { NameInUse, SubmissionStore } from './store.ts'

let directory: string
let store: SubmissionStore

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-store-'))
  store = new SubmissionStore(join(directory, 'dialects.db'))
})
afterEach(async () => {
  store[Symbol.dispose]()
  await rm(directory, { recursive: true, force: true })
})

const add = (owner: string, name: string, phase: 'init' | 'making' | 'started', isPrepared = false): number =>
  store.addBatch({
    owner,
    name,
    app: 'app',
    generation: 'third',
    phase,
    isPrepared,
    jobs: 2,
    createdAt: 1,
    submittedAt: 2,
    expireAt: 0,
    estimatedSeconds: 3,
  })

describe('the store of remote submission', () => {
  it('keeps batches and jobs when it is opened again, with ids that only grow', () => {
    const first = add('ann', 'b', 'started')
    const jobs = store.addJobs(first, 'ann', ['j0', 'j1'])
    store.changeBatch(first, { execution: 'e', digest: Buffer.from('d') })
    store.deleteBatch(add('ann', 'gone', 'started'))
    store[Symbol.dispose]()
    store = new SubmissionStore(join(directory, 'dialects.db'))
    expect(store.batch('ann', { name: 'b' })).toMatchObject({
      id: first,
      jobs: 2,
      execution: 'e',
      isPrepared: false,
    })
    expect(store.jobs(first).map(({ id, name }) => [id, name])).toEqual([
      [jobs[0], 'j0'],
      [jobs[1], 'j1'],
    ])
    expect(add('ann', 'next', 'init')).toBeGreaterThan(first + 1)
  })

  it('lets names of jobs be used once by a user, and by others too', () => {
    store.addJobs(add('ann', 'b', 'started'), 'ann', ['j'])
    store.addJobs(add('bob', 'b', 'started'), 'bob', ['j'])
    const again = add('ann', 'c', 'making')
    expect(() => store.transaction(() => store.addJobs(again, 'ann', ['new', 'j']))).toThrow(NameInUse)
    expect(store.jobs(again)).toEqual([])
    expect(store.job('ann', { name: 'j' })?.batch).not.toBe(store.job('bob', { name: 'j' })?.batch)
    expect(store.batch('bob', { id: again })).toBeUndefined()
  })

  it('forgets batches whose submit was cut short, with their executions, and puts prepared ones back', async () => {
    const cut = add('ann', 'cut', 'making')
    store.addJobs(cut, 'ann', ['j'])
    const prepared = add('ann', 'prepared', 'making', true)
    store.addJobs(prepared, 'ann', ['k'])
    const whole = add('ann', 'whole', 'started')
    const removed: string[] = []
    const parts = {
      store,
      executions: {
        list: ({ labels }: { labels: Record<string, string> }) =>
          labels['boinc.batch'] === String(cut) ? [{ id: 'e' }] : [],
        remove: async (id: string) => void removed.push(id),
      },
    } as unknown as SubmissionParts
    await recoverSubmissions(parts)
    expect(removed).toEqual(['e'])
    expect(store.batches('ann').map(({ id, phase, jobs }) => [id, phase, jobs])).toEqual([
      [prepared, 'init', 0],
      [whole, 'started', 2],
    ])
    expect(store.job('ann', { name: 'j' })).toBeUndefined()
    expect(store.job('ann', { name: 'k' })).toBeUndefined()
  })

  it('forgets all of a user', () => {
    const batch = add('ann', 'b', 'started')
    store.addJobs(batch, 'ann', ['j'])
    store.putFile('ann', { name: 'f', sha256: 's', bytes: 5, usedAt: 0, deleteAt: 0 })
    store.useFile('ann', 'f', batch)
    add('bob', 'b', 'started')
    store.forget('ann')
    expect(store.batches().map(({ owner }) => owner)).toEqual(['bob'])
    expect([store.filesOf('ann'), store.jobsNamed('j')]).toEqual([[], []])
  })
})
