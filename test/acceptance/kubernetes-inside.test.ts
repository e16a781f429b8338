import { chownSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  type KubernetesObject,
  type V1Deployment,
  type V1Pod,
} from '@kubernetes/client-node'
import { load, loadAll } from 'js-yaml'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { roleRules } from '../../environments/kubernetes/cluster/rights.ts'
import { until } from '../conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../daemons/kubernetes.ts'
import { importServerImage } from '../daemons/kubernetes-server-image.ts'
import { claimPorts, type PortBlock } from '../daemons/ports.ts'
import { describeWith } from '../daemons/present.ts'
import { createRestClient } from '../helpers/rest-client.ts'
import { tarGzip } from '../helpers/tar.ts'

const base = join(import.meta.dirname, '../../deploy/kubernetes')
const password = 'open sesame'
const userId = 10001

const read = (file: string) => readFileSync(join(base, file), 'utf8')
const kustomization = load(read('kustomization.yaml')) as { namespace: string; resources: readonly string[] }

/** What kustomize makes of the base for this namespace, but for the name of the image. */
function objectsOfBase(namespace: string): readonly KubernetesObject[] {
  const all = kustomization.resources.flatMap((file) => loadAll(read(file)) as KubernetesObject[])
  for (const object of all) {
    Object.assign(object.metadata!, { namespace })
    const { subjects = [] } = object as { subjects?: readonly object[] }
    for (const subject of subjects) Object.assign(subject, { namespace })
  }
  return all
}

test('the account in the manifests has the rights that Molehill asks for, and no more', () => {
  const role = objectsOfBase(kustomization.namespace).find(({ kind }) => kind === 'Role')
  expect(role).toMatchObject({ rules: roleRules })
})

describeWith('kubernetes-node', 'a server inside of a cluster', () => {
  let kubernetes: Kubernetes
  let core: CoreV1Api
  let objects: KubernetesObjectApi
  let ports: PortBlock
  let image: string
  let namespace: string

  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
    const configuration = new KubeConfig()
    configuration.loadFromFile(kubernetes.kubeconfig)
    core = configuration.makeApiClient(CoreV1Api)
    objects = KubernetesObjectApi.makeApiClient(configuration)
    ports = await claimPorts()
    image = await importServerImage(kubernetes)
  }, nodeTimeoutMs)
  afterAll(async () => {
    await kubernetes.stop()
    await ports.release()
  }, 60_000)

  beforeEach(async () => {
    namespace = await kubernetes.makeNamespace()
  }, 60_000)
  afterEach(() => kubernetes.removeNamespace(namespace))

  /**
   * The cluster has no addresses of services: the pod is one of the host's network, where it reaches the API server as the
   * tests do, and listens where only they reach it.
   */
  function besideApiServer(deployment: V1Deployment): V1Deployment {
    const spec = deployment.spec!.template.spec!
    const [container] = spec.containers
    const port = ports.first
    const apiServer = new URL(kubernetes.url)
    const variables = {
      MOLEHILL_HOST: '127.0.0.1',
      MOLEHILL_PORT: String(port),
      KUBERNETES_SERVICE_HOST: apiServer.hostname,
      KUBERNETES_SERVICE_PORT: apiServer.port,
    }
    container!.image = image
    container!.env = [
      ...container!.env!.filter(({ name }) => !(name in variables)),
      ...Object.entries(variables).map(([name, value]) => ({ name, value })),
    ]
    container!.ports![0]!.containerPort = port
    spec.hostNetwork = true
    return deployment
  }

  /** A claim needs a volume: a directory of the node, which belongs to the user of the server. */
  async function makeVolume(): Promise<string> {
    const path = join(kubernetes.directory, namespace)
    mkdirSync(path)
    chownSync(path, userId, userId)
    await core.createPersistentVolume({
      body: {
        metadata: { name: namespace },
        spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '20Gi' }, hostPath: { path } },
      },
    })
    return path
  }

  const pods = async (): Promise<readonly V1Pod[]> => {
    const labelSelector = 'app.kubernetes.io/name=molehill'
    return (await core.listNamespacedPod({ namespace, labelSelector })).items
  }

  async function untilReady(beside?: V1Pod): Promise<V1Pod> {
    let seen: unknown
    try {
      return await until(
        'the server is ready',
        async () => {
          const found = await pods()
          seen = found.map(({ status }) => status)
          const pod = found.find(({ metadata }) => metadata?.uid !== beside?.metadata?.uid)
          const ready = pod?.status?.conditions?.find(({ type }) => type === 'Ready')
          return found.length === 1 && ready?.status === 'True' ? pod : undefined
        },
        () => seen,
        180_000,
      )
    } catch (error) {
      const [pod] = await pods()
      const log = await core
        .readNamespacedPodLog({ namespace, name: pod?.metadata?.name ?? '', tailLines: 40 })
        .catch(String)
      throw new Error(`${String(error)}\n${log}`, { cause: error })
    }
  }

  test(
    'runs jobs beside itself, and keeps what it has when its pod is replaced',
    { timeout: 600_000 },
    async () => {
      const volume = await makeVolume()
      await core.createNamespacedSecret({
        namespace,
        body: { metadata: { name: 'molehill-password' }, stringData: { password } },
      })
      for (const object of objectsOfBase(namespace))
        await objects.create(object.kind === 'Deployment' ? besideApiServer(object as V1Deployment) : object)
      const first = await untilReady()

      const url = `https://${first.status?.podIP}:${ports.first}`
      const client = await createRestClient({ url, dataDirectory: join(volume, 'data') })
      const token = await client.requestToken(password)
      const options = {
        inCluster: true,
        image: kubernetes.image,
        stagingImage: kubernetes.image,
        securityContext: { runAsUser: userId, restricted: true },
      }
      const workflow = `
      import { commandTask, display, explore, integer, kubernetes, range, readStdout, shell } from 'molehill'
      const n = integer('n'), square = integer('square')
      const task = commandTask('square', { command: shell\`expr \${n} '*' \${n}\`, inputs: [n], outputs: [readStdout(square)] })
      export default explore(range(n, { from: 6, to: 7 }), task.on(kubernetes(${JSON.stringify(options)})).hook(display([square])))
    `
      const id = await client.start(
        token,
        'workflow.ts',
        tarGzip([{ name: 'workflow.ts', content: workflow }]),
      )
      expect(await client.awaitEnd(token, id)).toMatchObject({ state: 'finished', completed: 2 })
      const output = await client.output(token, id)
      expect(output).toContain('square = 36')
      expect(output).toContain('square = 49')
      const own = first.metadata?.name ?? ''
      const names = async () =>
        (await core.listNamespacedPod({ namespace })).items.map(({ metadata }) => metadata?.name)
      await expect.poll(names, { timeout: 60_000, interval: 200 }).toEqual([own])

      await core.deleteNamespacedPod({ namespace, name: own })
      await untilReady(first)
      expect(await client.output(token, id)).toBe(output)
    },
  )
})
