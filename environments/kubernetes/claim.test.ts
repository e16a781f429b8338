import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Trial } from '../../test/conformance/trial.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'
import { roleRules } from './rights.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/operations/kubernetes.md'), 'utf8')

describeWith('kubernetes-node', 'a claim with data', () => {
  let kubernetes: Kubernetes
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

  test('is read by jobs with the template of the page for operators', { timeout: 180_000 }, async () => {
    const [, template = ''] = /'template=([^']*)'/.exec(page) ?? []
    const directory = join(kubernetes.directory, 'claim')
    mkdirSync(directory)
    writeFileSync(join(directory, 'large.txt'), 'a large input\n')
    const namespace = await makeClaim(directory)
    const { kubeconfig } = await kubernetes.makeAccount({ namespace, rules: roleRules })
    const { image } = kubernetes
    const options = { kubeconfig, image, stagingImage: image, template: JSON.parse(template) as unknown }
    const trial = new Trial(
      (own) =>
        plugin.create('kubernetes', plugin.options.parse(options), {
          directory: own,
          variables: {},
          now: Date.now,
          warn: () => undefined,
        }),
      120_000,
    )
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
