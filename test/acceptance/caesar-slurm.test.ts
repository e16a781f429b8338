import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith } from '../daemons/present.ts'
import { startSlurm, type Slurm } from '../daemons/slurm.ts'
import { startCaesarServer, type CaesarServer } from '../helpers/caesar-server.ts'
import { fitsOfM51, whyNoSourceFinder } from '../helpers/fits.ts'

const longMs = 300_000
const why = whyNoSourceFinder()

describeWith('slurmrestd', 'apps of caesar-rest on Slurm', () => {
  let slurm: Slurm
  let server: CaesarServer

  beforeAll(async () => {
    slurm = await startSlurm({ nodes: 2, cpusPerNode: 1, restd: true })
    server = await startCaesarServer({ catalogEnvironments: 'source-finder=cluster probe=cluster' })
    const options = {
      rest: { url: slurm.restUrl, apiVersion: 'v0.0.38', user: 'root' },
      partition: 'main',
      // What the cluster gives without being asked, 250 MB, is too little for pictures.
      memory: '600 MB',
      time: '5 min',
      submissionsPerMinute: 60_000,
    }
    const added = await fetch(`${server.server.url}/environments/add`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await server.login()}` },
      body: new URLSearchParams({
        name: 'cluster',
        kind: 'slurm',
        options: JSON.stringify(options),
        secrets: JSON.stringify({ token: await slurm.token('root') }),
      }),
    })
    expect([added.status, await added.text()]).toMatchObject([200, expect.any(String) as string])
  }, longMs)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await slurm.stop()
  }, longMs)

  /** Which environments the jobs of an execution ran on, as the operator sees it. */
  async function environmentsUsed(): Promise<string[]> {
    const ask = async (path: string, fields: Readonly<Record<string, string>>) => {
      const answer = await fetch(`${server.server.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${await server.login()}` },
        body: new URLSearchParams(fields),
      })
      return JSON.parse(await answer.text()) as unknown
    }
    const used = new Set<string>()
    for (const { id } of (await ask('/list', {})) as { id: string }[]) {
      const { jobs } = (await ask('/jobs', { id })) as { jobs: { environment: string }[] }
      for (const { environment } of jobs) used.add(environment)
    }
    return [...used]
  }

  test.skipIf(why !== undefined)(
    'find the sources of M51 there, and leave the same products',
    { timeout: longMs },
    async () => {
      const { json: upload } = await server.ann.upload(fitsOfM51(), 'm51.fits')
      const { json } = await server.ann.submit({
        app: 'source-finder',
        data_inputs: upload['uuid'],
        job_inputs: { threshold: 1.5 },
      })
      const id = String(json['job_id'])
      expect(await server.ann.ended(id)).toMatchObject({ state: 'SUCCESS', exit_code: 0 })
      const { sources } = (await server.ann.call(`/job/${id}/sources`)).json as { sources: unknown[] }
      expect(sources).toHaveLength(165)
      expect((await server.ann.call(`/job/${id}/output-plot`)).bytes.subarray(1, 4).toString()).toBe('PNG')
      expect(await environmentsUsed()).toEqual(['cluster'])
    },
  )

  test('are canceled there, and fail there with their exit code', { timeout: longMs }, async () => {
    const { json: upload } = await server.ann.upload(Buffer.from('a picture'), 'a.fits')
    const submit = async (ending: string) => {
      const body = { app: 'probe', data_inputs: upload['uuid'], job_inputs: { ending } }
      return String((await server.ann.submit(body)).json['job_id'])
    }
    const [slow, bad] = await Promise.all([submit('slow'), submit('bad')])
    expect(await server.ann.ended(bad)).toMatchObject({ state: 'FAILURE', exit_code: 7 })
    const { json } = await server.ann.call(`/job/${slow}/cancel`, { method: 'POST' })
    expect(json['status']).toBe('Job canceled and status updated in DB')
    expect(await server.ann.ended(slow)).toMatchObject({ state: 'CANCELED', exit_code: -1 })
  })
})
