import { afterAll, beforeAll } from 'vitest'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'

describeWith('kubernetes-node', 'Kubernetes with a real node', () => {
  let kubernetes: Kubernetes
  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
  }, nodeTimeoutMs)
  afterAll(() => kubernetes.stop(), 60_000)

  const make = (directory: string) => {
    const { kubeconfig, image } = kubernetes
    const options = { kubeconfig, image, stagingImage: image, stopGraceMs: 2000 }
    return plugin.create('kubernetes', plugin.options.parse(options), {
      directory,
      variables: {},
      now: Date.now,
      warn: () => undefined,
    })
  }
  // A pod costs a second or two.
  describeEnvironment('kubernetes', make, 180_000)
})
