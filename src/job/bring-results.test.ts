import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobHandle, JobId } from '../environment/environment.ts'
import { FakeEnvironment } from '../environment/fake.ts'
import { bringResults } from './bring-results.ts'

describe('bringing results', () => {
  let directory: string
  const handle: JobHandle = { id: 'job-1' as JobId, nativeId: 'job-1', state: { version: 1 } }

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-results-'))
    warnings = []
    tries = 0
  })
  afterEach(async () => {
    await rm(directory, { recursive: true })
  })

  let warnings: string[]
  let tries: number

  function bring(environment: FakeEnvironment) {
    const collect = environment.collect.bind(environment)
    environment.collect = async (...asked) => {
      tries += 1
      return collect(...asked)
    }
    return bringResults(environment, handle, directory, {
      signal: AbortSignal.timeout(60_000),
      isWanted: () => true,
      isAnswering: async () => environment.outage === undefined,
      warn: (message) => warnings.push(message),
      waits: { firstMs: 1, longestMs: 1 },
    })
  }

  async function withJob(lostAfterOutageMs?: number): Promise<FakeEnvironment> {
    const environment = new FakeEnvironment(() => ({}), {
      survivesRestart: true,
      ...(lostAfterOutageMs !== undefined && { lostAfterOutageMs }),
    })
    const request = { id: handle.id, command: ['x'], env: {}, workDirectory: directory }
    await environment.submit([{ ...request, inputs: [], outputs: [], resources: {} }])
    environment.finish(handle.id)
    return environment
  }

  it('waits for an environment that is away, however often it must be asked, and tells why once', async () => {
    const environment = await withJob()
    environment.outage = new Error('no route to host')
    const brought = bring(environment)
    await expect.poll(() => tries, { timeout: 30_000 }).toBeGreaterThan(40)
    expect(warnings).toEqual(['Outputs of job-1 cannot be fetched: no route to host'])
    environment.outage = undefined
    expect(await brought).toMatchObject({ files: [], missing: [] })
  })

  it('gives up results of an environment that is away for longer than it may', async () => {
    const environment = await withJob(20)
    environment.outage = new Error('no route to host')
    expect(await bring(environment)).toBeUndefined()
  })

  it('gives up results that an environment does not have although it answers', async () => {
    const environment = await withJob()
    await environment.release([handle])
    expect(await bring(environment)).toBeUndefined()
    expect(tries).toBe(30)
    expect(warnings).toHaveLength(1)
  })
})
