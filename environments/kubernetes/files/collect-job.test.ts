import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { toJobId, type JobRequest } from '../../../src/environment/environment.ts'
import { keyOf } from '../../../src/environment/job-files/places.ts'
import { tarBytes, type TarEntry } from '../../../src/environment/job-files/tar-stream.ts'
import { ApiError } from '../cluster/api-errors.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { collectJob } from './collect-job.ts'
import type { Packing } from './staging.ts'
import type { Volume } from './volume.ts'
import type { WirePod } from '../cluster/wire.ts'

const signal = new AbortController().signal
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-test-collect-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const request: JobRequest = {
  id: toJobId('job-1'),
  command: ['true'],
  env: {},
  workDirectory: '/executions/1/work',
  inputs: [],
  outputs: [{ path: './out.txt' }, { path: 'deep' }, { path: 'gone', optional: true }, { path: 'lost' }],
  resources: {},
}

const text = (path: string, content: string): TarEntry => ({ kind: 'text', path, text: content })
const packed: readonly TarEntry[] = [
  text('stdout', 'printed\n'),
  text('stderr', ''),
  text('work/out.txt', 'one'),
  { kind: 'directory', path: 'work/deep' },
  text('work/deep/er', 'two'),
]

/** A claim with what a job has left, or without. */
function claim(entries: readonly TarEntry[] | undefined) {
  const asked: unknown[] = []
  const pack: Packing = async (stream, mark) => {
    const bytes = async function* () {
      yield `\n${mark}\n`
      yield* tarBytes(entries ?? [])
    }
    await pipeline(Readable.from(bytes()), stream)
  }
  const kept = async (key: string, name: string) => {
    asked.push([key, name])
    return entries === undefined ? undefined : pack
  }
  return { asked, volume: { kept } as unknown as Volume }
}

const collect = (
  volume: Volume | undefined,
  pod?: WirePod,
  cluster: Partial<Cluster> = {},
  outputs = request.outputs,
) => {
  const parts = { cluster: cluster as Cluster, volume, isExecOptional: false, newMark: () => 'M1x' }
  const places = { directory: join(directory, 'out'), logs: join(directory, 'logs') }
  return collectJob(pod, { ...request, outputs }, places, parts, signal)
}

test('outputs and logs that the pod has left in its claim are fetched when it is gone', async () => {
  const { volume, asked } = claim(packed)
  const { stdout, files, missing } = await collect(volume)
  expect({ files, missing }).toEqual({ files: ['./out.txt', 'deep'], missing: ['lost'] })
  expect(asked).toEqual([[keyOf('/executions/1/work'), 'mh-job-1']])
  expect(readFileSync(stdout, 'utf8')).toBe('printed\n')
  expect(readFileSync(join(directory, 'out/out.txt'), 'utf8')).toBe('one')
  expect(readFileSync(join(directory, 'out/deep/er'), 'utf8')).toBe('two')
})

// Kubernetes 1.20 tells seconds later that a container has ended.
test('a pod that has ended unheard has left outputs in its claim', async () => {
  const refused = new ApiError({
    status: 500,
    reason: 'Unreadable',
    message: 'container not found ("stage-out")',
  })
  const cluster = { namespace: () => Promise.reject(refused) }
  const pod = {
    metadata: { name: 'mh-job-1-abc' },
    status: {
      containerStatuses: [
        { name: 'main', state: { terminated: { exitCode: 0 } } },
        { name: 'stage-out', state: { running: {} } },
      ],
    },
  } as unknown as WirePod
  const { files, missing } = await collect(claim(packed).volume, pod, cluster)
  expect({ files, missing }).toEqual({ files: ['./out.txt', 'deep'], missing: ['lost'] })
  await expect(collect(claim(undefined).volume, pod, cluster)).rejects.toBe(refused)
})

const endedPod = (stageOut: object) =>
  ({
    metadata: {},
    status: {
      containerStatuses: [
        { name: 'main', state: { terminated: { exitCode: 0 } } },
        { name: 'stage-out', state: { terminated: { finishedAt: '2026-03-01T12:00:00Z', ...stageOut } } },
      ],
    },
  }) as unknown as WirePod

test.each([
  ['that is gone', undefined],
  ['that kept them for as long as it had to', endedPod({ exitCode: 0, reason: 'Completed' })],
  ['whose keeper was killed', endedPod({ exitCode: 137, reason: 'Error' })],
])('outputs of a pod %s are lost, not left unmade by the job', async (_, pod) => {
  for (const volume of [undefined, claim(undefined).volume]) {
    const { files, lost, stdout } = await collect(volume, pod)
    expect({ files, lost }).toEqual({ files: [], lost: expect.stringContaining('outputs') })
    expect(readFileSync(stdout, 'utf8')).toBe('')
  }
})

test('a job that has to leave nothing has lost nothing', async () => {
  const outputs = [{ path: 'gone', optional: true }]
  expect(await collect(undefined, endedPod({ exitCode: 0 }), {}, outputs)).not.toHaveProperty('lost')
})
