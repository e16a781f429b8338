/**
 * Stand-in for a kubelet: one Node object whose pods run as processes of this machine.
 *   node standin-kubelet.ts STATE [NAME]    STATE of up.sh without a node
 * Prints "ready"; ends with its standard input. It does: scheduling by the real scheduler, exit codes, logs and follow,
 * grace at deletion, the pod's deadline. It does not: volumes, init or further containers, valueFrom, exec, limits,
 * isolation. An image is looked at only for the tags of standin-faults.ts. At a deadline it reports the pod's end after
 * the process ended, a real one of 1.20 before.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  ApiException,
  CoreV1Api,
  KubeConfig,
  ListWatch,
  setHeaderOptions,
  Watch,
  type V1Node,
  type V1Pod,
} from '@kubernetes/client-node'
import { serveLogs } from './standin-logs.ts'
import { StandInPods } from './standin-pods.ts'

const [state = '', node = 'standin-1'] = process.argv.slice(2)
if (state === '') throw new Error('usage: standin-kubelet.ts STATE [NAME]')
const directory = join(state, node)
mkdirSync(directory, { recursive: true })
const configuration = new KubeConfig()
configuration.loadFromFile(join(state, 'kubeconfig/admin'))
const core = configuration.makeApiClient(CoreV1Api)
const mergePatch = setHeaderOptions('Content-Type', 'application/merge-patch+json')

const codeOf = (error: unknown) => (error instanceof ApiException ? error.code : undefined)

/** Until the server takes it, since it may be away for a while; refused for good when the object is gone or another. */
async function insist(what: string, call: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await call()
      return
    } catch (error) {
      const code = codeOf(error)
      if (code === 404 || code === 409) return
      console.error(what, code ?? error)
      if (code === 400 || code === 422) return
      await pause(300)
    }
  }
}

const identity = ({ metadata }: V1Pod) => ({
  namespace: metadata?.namespace ?? '',
  name: metadata?.name ?? '',
  uid: metadata?.uid ?? '',
})
// the mark by which clean-up.sh finds every process
const mark = { KUBERNETES_STATE: state, KUBERNETES_STANDIN_NODE: node }
const pods = new StandInPods(directory, mark, {
  patchStatus: (pod, status) => {
    const { namespace, name, uid } = identity(pod)
    const body = { metadata: { uid }, status }
    return insist('status', () => core.patchNamespacedPodStatus({ namespace, name, body }, mergePatch))
  },
  removeObject: (pod) => {
    const { namespace, name, uid } = identity(pod)
    const body = { gracePeriodSeconds: 0, preconditions: { uid } }
    return insist('remove', () => core.deleteNamespacedPod({ namespace, name, body }))
  },
})
const keys = {
  key: readFileSync(join(state, 'keys/server.key')),
  cert: readFileSync(join(state, 'keys/server.crt')),
}
const port = await serveLogs(keys, (namespace, pod) => pods.log(namespace, pod))

const condition = (type: string, status: string) => {
  const now = new Date()
  return { type, status, lastHeartbeatTime: now, lastTransitionTime: now, reason: 'StandIn' }
}
const room = { cpu: '64', memory: '64Gi', pods: '500' }
const nodeStatus = (): V1Node['status'] => ({
  capacity: room,
  allocatable: room,
  conditions: [
    condition('Ready', 'True'),
    condition('MemoryPressure', 'False'),
    condition('DiskPressure', 'False'),
    condition('PIDPressure', 'False'),
  ],
  addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
  daemonEndpoints: { kubeletEndpoint: { Port: port } },
  nodeInfo: {
    machineID: '',
    systemUUID: '',
    bootID: '',
    kernelVersion: '',
    osImage: 'stand-in',
    containerRuntimeVersion: 'process://1',
    kubeletVersion: 'v1.20.2',
    kubeProxyVersion: '',
    operatingSystem: 'linux',
    architecture: 'amd64',
  },
})
const beat = () => core.patchNodeStatus({ name: node, body: { status: nodeStatus() } }, mergePatch)
await core
  .createNode({ body: { metadata: { name: node, labels: { 'kubernetes.io/hostname': node } } } })
  .catch((error: unknown) => {
    if (codeOf(error) !== 409) throw error
  })
await beat()
setInterval(() => void beat().catch(() => {}), 3000)

const fieldSelector = `spec.nodeName=${node}`
const list = () => core.listPodForAllNamespaces({ fieldSelector })
const watch = new ListWatch<V1Pod>(
  '/api/v1/pods',
  new Watch(configuration),
  list,
  false,
  undefined,
  fieldSelector,
)
const see = (pod: V1Pod) =>
  void pods.see(pod).catch((error: unknown) => console.error(identity(pod).name, error))
watch.on('add', see)
watch.on('update', see)
watch.on('delete', (pod) => pods.forget(pod))
const start = () => watch.start().catch(startLater)
function startLater(): void {
  setTimeout(() => void start(), 300)
}
watch.on('error', startLater)
await start()
console.log('ready')

const leave = () => {
  pods.killAll()
  process.exit(0)
}
process.on('SIGTERM', leave)
process.on('SIGINT', leave)
process.stdin.on('end', leave)
process.stdin.resume()
