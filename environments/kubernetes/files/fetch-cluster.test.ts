import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noSignal, Trial } from '../../../test/conformance/trial.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../../test/daemons/kubernetes.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { startSwift, type Swift } from '../../../test/daemons/swift.ts'
import { startJobFilesServer, type JobFilesServer } from '../../../test/helpers/job-files-server.ts'
import { plugin } from '../index.ts'
import { roleRules } from '../cluster/rights.ts'

describeWith('kubernetes-node', 'pods that fetch their files', () => {
  let kubernetes: Kubernetes
  let server: JobFilesServer
  let warnings: string[]

  beforeAll(async () => {
    server = await startJobFilesServer()
    kubernetes = await startKubernetes({ node: true })
  }, nodeTimeoutMs)
  afterAll(async () => {
    await kubernetes.stop()
    await server[Symbol.asyncDispose]()
  }, 60_000)

  /** Pods of the cluster reach the loopback address, where the server is, in the host's network only. */
  async function tryOut(rules: typeof roleRules, more: object = {}): Promise<Trial> {
    warnings = []
    const namespace = await kubernetes.makeNamespace()
    const { kubeconfig } = await kubernetes.makeAccount({ namespace, rules })
    const { image } = kubernetes
    const options = {
      kubeconfig,
      image,
      stagingImage: image,
      stopGraceMs: 1000,
      fetchFrom: server.url,
      template: { spec: { hostNetwork: true } },
      ...more,
    }
    return new Trial(
      (directory) =>
        plugin.create('kubernetes', plugin.options.parse(options), {
          directory,
          variables: {},
          now: Date.now,
          warn: (message) => warnings.push(message),
          fileDesk: server.desk,
        }),
      120_000,
    )
  }

  test(
    'need no right to exec for that; a server that starts anew serves the rest',
    { timeout: 300_000 },
    async () => {
      const trial = await tryOut(roleRules.filter(({ resources = [] }) => !resources.includes('pods/exec')))
      const work = trial.workDirectory
      mkdirSync(join(work, 'deep'))
      writeFileSync(join(work, 'large.bin'), Buffer.alloc(20 * 2 ** 20, 'molehill'))
      writeFileSync(join(work, 'deep/run.sh'), '#!/bin/sh\necho ran "$WHO"\n', { mode: 0o755 })
      const sum = createHash('sha256')
        .update(readFileSync(join(work, 'large.bin')))
        .digest('hex')
      const request = () =>
        trial.shell('./deep/run.sh; sha256sum <large.bin; touch mine', {
          env: { WHO: 'it' },
          inputs: ['large.bin', 'deep'].map((to) => ({ from: join(work, to), to })),
        })
      try {
        await trial.open()
        expect(await trial.environment.inspect?.(noSignal)).toMatchObject([
          { what: 'cluster', isGood: true },
          { what: 'rights', isGood: true, message: expect.stringContaining('may not exec into pods') },
          { what: 'namespace', isGood: true },
        ])
        const first = await trial.submitAll([request(), request()])
        await trial.environment.close()
        await trial.open()
        const handles = [...first, await trial.submit(request())]
        for (const end of await trial.waitForAll(handles))
          expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
        for (const handle of handles) {
          const { stdout, collected } = await trial.collect(handle)
          expect(stdout).toBe(`ran it\n${sum}  -\n`)
          expect(collected).toMatchObject({ missing: [], remark: expect.stringMatching(/pods\/exec/) })
        }
        expect(server.observed.filter(({ status }) => status === 200)).toHaveLength(3)
        expect(warnings).toEqual([])
      } finally {
        await trial.close()
      }
    },
  )

  test('get outputs back by exec, where that is allowed', { timeout: 180_000 }, async () => {
    const trial = await tryOut(roleRules)
    try {
      await trial.open()
      const { end, collected, stdout, stderr, read } = await trial.run(
        trial.shell('echo out; echo error >&2; echo one >out.txt; exit 3', {
          outputs: [{ path: 'out.txt' }],
        }),
      )
      expect(end).toMatchObject({ kind: 'exited', exitCode: 3 })
      expect(collected).toMatchObject({ files: ['out.txt'], missing: [] })
      expect([stdout, stderr, String(read('out.txt'))]).toEqual(['out\n', 'error\n', 'one\n'])
    } finally {
      await trial.close()
    }
  })

  describeWith('swift', 'and an object storage', () => {
    let swift: Swift
    beforeAll(async () => {
      swift = await startSwift()
    }, 320_000)
    afterAll(() => swift.stop(), 60_000)

    test.each([
      ['which they learn of when they fetch', {}],
      ['which they learn of by exec', { fetchFrom: undefined }],
    ])('%s', { timeout: 300_000 }, async (_, more) => {
      const bucket = await swift.makeBucket(`bucket-${Object.keys(more).length}`)
      const trial = await tryOut(roleRules, {
        objectStorage: { url: bucket, accessKey: swift.keys.accessKey },
        objectStorageSecret: swift.keys.secretKey,
        ...more,
      })
      const large = join(trial.workDirectory, 'large.bin')
      writeFileSync(large, Buffer.alloc(20 * 2 ** 20, 'molehill'))
      const request = () =>
        trial.shell('readlink -f large.bin; wc -c <large.bin; echo one >out.txt', {
          inputs: [{ from: large, to: 'large.bin' }],
          outputs: [{ path: 'out.txt' }],
        })
      try {
        await trial.open()
        expect((await trial.environment.inspect?.(noSignal))?.at(-1)).toMatchObject({
          what: 'object storage',
          isGood: true,
        })
        const handles = await trial.submitAll([request(), request(), request()])
        for (const end of await trial.waitForAll(handles))
          expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
        for (const handle of handles) {
          const { stdout, collected } = await trial.collect(handle)
          expect(stdout).toMatch(/^\/molehill\/shared\/[0-9a-f]+\/content\/large.bin\n20971520\n$/)
          expect(collected).toMatchObject({ files: ['out.txt'], missing: [] })
          expect(JSON.stringify(handle)).not.toContain('X-Amz')
        }
        expect(await swift.list(bucket)).toHaveLength(1)
        await trial.environment.discard?.(trial.workDirectory, noSignal)
        expect(await swift.list(bucket)).toEqual([])
        expect(warnings).toEqual([])
      } finally {
        await trial.close()
      }
    })
  })
})
