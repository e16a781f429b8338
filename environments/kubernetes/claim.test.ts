import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'
import { roleRules } from './cluster/rights.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/operations/kubernetes.md'), 'utf8')

describeWith('kubernetes-node', 'a claim with data', () => {
  let kubernetes: Kubernetes
  let warnings: string[]
  beforeEach(() => (warnings = []))
  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
  }, nodeTimeoutMs)
  afterAll(() => kubernetes.stop(), 60_000)

  /** What lies in the directory stands in the claim `data` of a new namespace. */
  async function makeClaim(directory: string): Promise<string> {
    const configuration = new KubeConfig()
    configuration.loadFromFile(kubernetes.kubeconfig)
    const core = configuration.makeApiClient(CoreV1Api)
    const namespace = await kubernetes.makeNamespace()
    const common = { storageClassName: 'manual', accessModes: ['ReadWriteMany'] }
    await core.createPersistentVolume({
      body: {
        metadata: { name: namespace },
        spec: { ...common, capacity: { storage: '1Gi' }, hostPath: { path: directory } },
      },
    })
    await core.createNamespacedPersistentVolumeClaim({
      namespace,
      body: {
        metadata: { name: 'data' },
        spec: { ...common, volumeName: namespace, resources: { requests: { storage: '1Gi' } } },
      },
    })
    return namespace
  }

  function tryOut(options: Readonly<Record<string, unknown>>): Trial {
    return new Trial(
      (own) =>
        plugin.create('kubernetes', plugin.options.parse(options), {
          directory: own,
          variables: {},
          now: Date.now,
          warn: (message) => warnings.push(message),
        }),
      120_000,
    )
  }

  /** An account that may do no more than the page says, in a namespace whose claim `data` is the directory. */
  async function makeScene(more: Readonly<Record<string, unknown>> = {}) {
    const directory = mkdtempSync(join(kubernetes.directory, 'claim-'))
    const namespace = await makeClaim(directory)
    const { kubeconfig } = await kubernetes.makeAccount({ namespace, rules: roleRules })
    const { image } = kubernetes
    const trial = tryOut({
      kubeconfig,
      image,
      stagingImage: image,
      volume: 'data',
      stopGraceMs: 1000,
      ...more,
    })
    return { directory, namespace, trial }
  }

  const contentsIn = (directory: string): readonly string[] =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('/content'))

  test(
    'holds the work directory and what jobs share, once for all of them',
    { timeout: 300_000 },
    async () => {
      const { directory, namespace, trial } = await makeScene()
      const work = trial.workDirectory
      mkdirSync(join(work, 'deep/er'), { recursive: true })
      writeFileSync(join(work, 'large.bin'), Buffer.alloc(80 * 2 ** 20, 'molehill'))
      writeFileSync(join(work, 'deep/er/small.txt'), 'small\n')
      writeFileSync(join(work, 'run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
      const library = join(trial.directory, 'library')
      mkdirSync(library)
      writeFileSync(join(library, 'word.txt'), 'shared\n')
      const script =
        'readlink -f large.bin; ./run.sh; cat deep/er/small.txt lib/word.txt; sha256sum <large.bin; ' +
        'touch large.bin deep/er/mine lib/mine 2>/dev/null; ls /molehill/shared | wc -l; echo own >own.txt'
      const request = () =>
        trial.shell(script, {
          shared: [{ from: library, to: 'lib' }],
          inputs: [{ from: join(work, 'large.bin'), to: 'large.bin' }],
          outputs: [{ path: 'own.txt' }],
        })
      try {
        await trial.open()
        const requests = [request(), request(), request()]
        const handles = await trial.submitAll(requests)
        expect(contentsIn(directory)).toHaveLength(2)
        for (const end of await trial.waitForAll(handles))
          expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
        for (const handle of handles) {
          const { stdout, read, collected } = await trial.collect(handle)
          const [place, ...lines] = stdout.trim().split('\n')
          expect(place).toMatch(/^\/molehill\/shared\/[0-9a-f]+\/content\/large.bin$/)
          const sum = createHash('sha256')
            .update(readFileSync(join(work, 'large.bin')))
            .digest('hex')
          expect(lines).toEqual(['ran', 'small', 'shared', `${sum}  -`, '2'])
          expect(collected.missing).toEqual([])
          expect(String(read('own.txt'))).toBe('own\n')
        }
        expect(contentsIn(directory)).toHaveLength(2)
        expect(warnings).toEqual([])

        // Its next life finds it there, and files that are new since.
        await trial.environment.close()
        expect(await untilNoCarrier(namespace)).toBe(true)
        writeFileSync(join(work, 'new.txt'), 'new\n')
        await trial.open()
        const { end, stdout } = await trial.run(trial.shell('cat new.txt deep/er/small.txt'))
        expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
        expect(stdout).toBe('new\nsmall\n')
        await trial.environment.discard?.(work, noSignal)
        // What many executions share stays for some days.
        expect(contentsIn(directory)).toHaveLength(1)
      } finally {
        await trial.close()
      }
    },
  )

  async function untilNoCarrier(namespace: string): Promise<true> {
    const configuration = new KubeConfig()
    configuration.loadFromFile(kubernetes.kubeconfig)
    const core = configuration.makeApiClient(CoreV1Api)
    const none = async () => {
      const { items } = await core.listNamespacedPod({ namespace, labelSelector: 'molehill/carrier' })
      return items.length === 0 ? true : undefined
    }
    return until('no carrier is left', none, undefined, 60_000)
  }

  test('takes the outputs of jobs whose server is away', { timeout: 300_000 }, async () => {
    const { directory, trial } = await makeScene()
    try {
      await trial.open()
      const request = trial.shell(
        'sleep 8; echo one >out.txt; mkdir deep; echo two >deep/er; echo printed; exit 3',
        {
          outputs: [{ path: 'out.txt' }, { path: 'deep' }, { path: 'none', optional: true }],
        },
      )
      const handle = await trial.submit(request)
      await trial.waitForRunning(handle)
      await trial.environment.close()
      const isLeft = () =>
        readdirSync(directory, { recursive: true }).some((path) => String(path).endsWith('/outputs.tar'))
      await until(
        'its outputs are in the claim',
        async () => isLeft() || undefined,
        () => readdirSync(directory, { recursive: true }),
        120_000,
      )
      await trial.open()
      expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 3 })
      const { collected, stdout, read } = await trial.collect(handle)
      expect(collected).toMatchObject({ files: ['out.txt', 'deep'], missing: [] })
      expect([stdout, String(read('out.txt')), String(read('deep/er'))]).toEqual([
        'printed\n',
        'one\n',
        'two\n',
      ])
      await trial.environment.discard?.(trial.workDirectory, noSignal)
      expect(isLeft()).toBe(false)
    } finally {
      await trial.close()
    }
  })

  test('that is not there lets jobs wait, and says why', { timeout: 180_000 }, async () => {
    const { namespace, trial } = await makeScene({ volume: 'missing', pendingLimit: 3000 })
    try {
      await trial.open()
      const request = trial.shell('true')
      const outcomes = await trial.environment.submit([request], noSignal)
      expect(outcomes.get(request.id)).toMatchObject({
        kind: 'deferred',
        reason: expect.stringMatching(/into the claim missing.*persistentvolumeclaim "missing" not found/),
      })
      expect(await untilNoCarrier(namespace)).toBe(true)
      expect(await volumeFinding(namespace, 'missing')).toMatchObject({
        isGood: false,
        message: 'There is no claim missing in the namespace.',
      })
      expect(await volumeFinding(namespace, 'data')).toMatchObject({ isGood: true })
    } finally {
      await trial.close()
    }
  })

  /** What a look at the claim finds with an account that may read it. */
  async function volumeFinding(namespace: string, volume: string) {
    const { kubeconfig, image } = kubernetes
    const trial = tryOut({ kubeconfig, image, namespace, volume })
    try {
      await trial.open()
      const findings = await trial.environment.inspect?.(noSignal)
      return findings?.find(({ what }) => what === 'volume')
    } finally {
      await trial.close()
    }
  }

  test('is read by jobs with the template of the page for operators', { timeout: 180_000 }, async () => {
    const [, template = ''] = /'template=([^']*)'/.exec(page) ?? []
    const directory = mkdtempSync(join(kubernetes.directory, 'claim-'))
    writeFileSync(join(directory, 'large.txt'), 'a large input\n')
    const namespace = await makeClaim(directory)
    const { kubeconfig } = await kubernetes.makeAccount({ namespace, rules: roleRules })
    const { image } = kubernetes
    const options = { kubeconfig, image, stagingImage: image, template: JSON.parse(template) as unknown }
    const trial = tryOut(options)
    try {
      await trial.open()
      const { end, stdout } = await trial.run(
        trial.shell('cat /data/large.txt; touch /data/mine || echo refused'),
      )
      expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
      expect(stdout).toBe('a large input\nrefused\n')
      expect(readdirSync(directory)).toEqual(['large.txt'])
    } finally {
      await trial.close()
    }
  })
})
