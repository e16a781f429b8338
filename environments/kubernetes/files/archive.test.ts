import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { toJobId, type JobRequest } from '../../../src/environment/environment.ts'
import { WorkTrees } from '../../../src/environment/job-files/work-trees.ts'
import { archiveOf } from './archive.ts'

const signal = new AbortController().signal
let work: string
let trees: WorkTrees
beforeEach(() => {
  work = join(mkdtempSync(join(tmpdir(), 'molehill-test-archive-')), 'work')
  mkdirSync(work)
  writeFileSync(join(work, 'large.bin'), Buffer.alloc(2 ** 20, 'x'))
  writeFileSync(join(work, 'small.txt'), 'small')
  trees = new WorkTrees()
})
afterEach(() => rmSync(join(work, '..'), { recursive: true, force: true }))

const hash = async () => (await trees.tree(work, undefined, signal)).content.hash
const inputs = ['large.bin', 'small.txt'].map((name) => ({ from: name, to: `in/${name}` }))

/** What goes to the pod, by path; the target where it is a link. */
async function archive(mounted: readonly string[], more: Partial<JobRequest> = {}) {
  const request: JobRequest = {
    id: toJobId('job-1'),
    command: ['true'],
    env: {},
    workDirectory: work,
    inputs: [],
    outputs: [],
    resources: {},
    ...more,
  }
  const options = { variables: {}, stopGraceMs: 1000, wallTimeMs: undefined, hasRuntime: false }
  const entries = await archiveOf(request, trees, { ...options, mounted: new Set(mounted) }, signal)
  return new Map(entries.map((entry) => [entry.path, entry.kind === 'link' ? entry.target : entry.kind]))
}

test('the work directory goes along where the pod does not find it in a claim', async () => {
  const place = `shared/${await hash()}/content`
  const alone = await archive([])
  expect(alone.get(`${place}/large.bin`)).toBe('file')
  expect(alone.get('job/work/large.bin')).toBe(`/molehill/${place}/large.bin`)
  const mounted = await archive([await hash()])
  expect([...mounted.keys()].filter((path) => path.startsWith('shared/'))).toEqual([])
  expect(mounted.get('job/work/large.bin')).toBe(`/molehill/${place}/large.bin`)
  // It was changed while the server was away: what the pod mounts is another one.
  expect((await archive(['another'])).get(`${place}/large.bin`)).toBe('file')
})

test('large inputs that are what they were are found in the claim too', async () => {
  const own = { inputs: inputs.map(({ from, to }) => ({ from: join(work, from), to })) }
  expect((await archive([], own)).get('job/work/in/large.bin')).toBe('file')
  const mounted = await archive([await hash()], own)
  expect(mounted.get('job/work/in/large.bin')).toBe(`/molehill/shared/${await hash()}/content/large.bin`)
  expect(mounted.get('job/work/in/small.txt')).toBe('file')
  utimesSync(join(work, 'large.bin'), 1, 1)
  expect((await archive([await hash()], own)).get('job/work/in/large.bin')).toBe('file')
})
