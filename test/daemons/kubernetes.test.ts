import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { BatchV1Api, CoreV1Api, KubeConfig, type V1Container, type V1Pod } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAlive } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from './kubernetes.ts'
import { markedProcesses } from './kubernetes-processes.ts'
import { describeWith } from './present.ts'
import { runCommand, tryCommand } from './run-command.ts'

const scripts = join(import.meta.dirname, 'kubernetes')
const busybox = (container: Partial<V1Container>): V1Container => ({
  name: 'main',
  image: 'localhost/busybox:local',
  ...container,
})

/** What of the machine a cluster could change for others. */
async function machineState(): Promise<Readonly<Record<string, unknown>>> {
  const settings = ['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops']
  const directories = [
    '/var/lib/kubelet',
    '/var/lib/cni',
    '/var/log/pods',
    '/var/log/containers',
    '/run/containerd',
  ]
  return {
    settings: [...settings, 'net/ipv4/ip_forward'].map((each) => readFileSync(`/proc/sys/${each}`, 'utf8')),
    directories: directories.filter((each) => existsSync(each)),
    mounts: readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .filter((line) => /containerd|kubelet|\/run\/netns/.test(line)),
  }
}

/** The bridge and the control groups of the cluster whose API server has this port. */
async function nodeParts(port: string): Promise<readonly string[]> {
  const controllers = await readdir('/sys/fs/cgroup')
  const groups = ['', ...controllers].map((each) =>
    join('/sys/fs/cgroup', each, `molehill-kubernetes-${port}`),
  )
  return [`/sys/class/net/mh-k8s-${port}`, ...groups].filter((each) => existsSync(each))
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** The addresses that these processes listen on. */
async function listeningAddresses(pids: readonly number[]): Promise<readonly string[]> {
  const lines = (await runCommand(['ss', '-Hltnp'])).split('\n')
  return lines
    .filter((line) => pids.some((pid) => line.includes(`pid=${pid},`)))
    .map((line) => line.trim().split(/\s+/)[3] ?? '')
}

function clients(kubeconfig: string): { readonly batch: BatchV1Api; readonly core: CoreV1Api } {
  const configuration = new KubeConfig()
  configuration.loadFromFile(kubeconfig)
  return { batch: configuration.makeApiClient(BatchV1Api), core: configuration.makeApiClient(CoreV1Api) }
}

async function createJob(
  kubernetes: Kubernetes,
  namespace: string,
  name: string,
  main: V1Container,
): Promise<void> {
  const { batch } = clients(kubernetes.kubeconfig)
  const metadata = { labels: { name } }
  const template = { metadata, spec: { restartPolicy: 'Never', containers: [main] } }
  await batch.createNamespacedJob({
    namespace,
    body: { metadata: { name }, spec: { backoffLimit: 0, template } },
  })
}

async function untilPod<T>(
  kubernetes: Kubernetes,
  namespace: string,
  name: string,
  choose: (pod: V1Pod) => T | undefined,
  timeoutMs = 60_000,
): Promise<T> {
  const { core } = clients(kubernetes.kubeconfig)
  let seen: unknown = 'no pod'
  return until(
    `the pod of ${name} is as awaited`,
    async () => {
      const { items } = await core.listNamespacedPod({ namespace, labelSelector: `name=${name}` })
      seen = items[0]?.status ?? seen
      return items[0] && choose(items[0])
    },
    () => seen,
    timeoutMs,
  )
}

const ended = (pod: V1Pod) => pod.status?.containerStatuses?.[0]?.state?.terminated && pod
const running = (pod: V1Pod) => (pod.status?.phase === 'Running' ? pod : undefined)

async function untilNodeIs(ready: 'True' | 'Unknown', { kubeconfig, nodeName }: Kubernetes): Promise<void> {
  const { core } = clients(kubeconfig)
  let seen: unknown
  await until(
    `the node's readiness is ${ready}`,
    async () => {
      seen = (await core.readNode({ name: nodeName })).status?.conditions?.find(
        ({ type }) => type === 'Ready',
      )?.status
      return seen === ready || undefined
    },
    () => seen,
    60_000,
  )
}

/** Exit code and log of a command as a Job. */
async function runJob(kubernetes: Kubernetes, namespace: string, name: string, main: Partial<V1Container>) {
  await createJob(kubernetes, namespace, name, busybox(main))
  const pod = await untilPod(kubernetes, namespace, name, ended)
  const { core } = clients(kubernetes.kubeconfig)
  const log = await core.readNamespacedPodLog({ namespace, name: pod.metadata?.name ?? '' })
  return { exitCode: pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, log }
}

for (const { kind, name, node } of [
  { kind: 'kubernetes', name: 'a Kubernetes with a stand-in node', node: false },
  { kind: 'kubernetes-node', name: 'a Kubernetes with a real node', node: true },
] as const) {
  describeWith(kind, name, () => {
    let kubernetes: Kubernetes
    let namespace: string
    let before: Awaited<ReturnType<typeof machineState>>
    beforeAll(async () => {
      before = await machineState()
      kubernetes = await startKubernetes({ node, controllerArguments: ['--node-monitor-grace-period=6s'] })
      namespace = await kubernetes.makeNamespace()
    }, nodeTimeoutMs)
    afterAll(async () => {
      const pids = await kubernetes.processes()
      expect(pids.length).toBeGreaterThanOrEqual(5)
      const ports = new Set(
        (await listeningAddresses(pids)).map((address) => Number(address.split(':').at(-1))),
      )
      expect(ports.size).toBeGreaterThanOrEqual(5)
      const { port } = new URL(kubernetes.url)
      expect((await nodeParts(port)).length).toBeGreaterThanOrEqual(node ? 2 : 0)
      expect(await machineState()).toEqual(before)
      await kubernetes.stop()
      expect(pids.filter(isAlive)).toEqual([])
      expect(existsSync(kubernetes.directory)).toBe(false)
      expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(kubernetes.directory)
      for (const port of ports) expect(await isListening(port), `port ${port}`).toBe(false)
      expect(await nodeParts(port)).toEqual([])
      expect(await machineState()).toEqual(before)
    }, 120_000)

    test('runs a Job and tells its exit code and log', async () => {
      const command = ['sh', '-c', 'echo out; echo error >&2; exit 7']
      const { exitCode, log } = await runJob(kubernetes, namespace, 'seven', { command })
      expect(exitCode).toBe(7)
      expect(log.split('\n').sort().join(' ').trim()).toBe('error out')
    }, 90_000)

    test('listens on 127.0.0.1 only', async () => {
      const addresses = await listeningAddresses(await kubernetes.processes())
      expect(addresses.length).toBeGreaterThanOrEqual(5)
      expect(addresses.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([])
    })

    test('what runs goes on while the API server is killed, and is known when it is back', async () => {
      const command = ['sh', '-c', 'echo started; sleep 3; exit 5']
      await createJob(kubernetes, namespace, 'survivor', busybox({ command }))
      await untilPod(kubernetes, namespace, 'survivor', running)
      await kubernetes.killApiServer()
      await kubernetes.untilReady()
      const pod = await untilPod(kubernetes, namespace, 'survivor', ended)
      expect(pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(5)
    }, 240_000)

    test('an API server that was stopped stays away until it is started', async () => {
      await kubernetes.stopApiServer()
      const port = Number(new URL(kubernetes.url).port)
      expect(await isListening(port)).toBe(false)
      await kubernetes.startApiServer()
      expect(await isListening(port)).toBe(true)
    }, 240_000)

    test('an account may do what its rules say, until they change or its token ends', async () => {
      const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }]
      const account = await kubernetes.makeAccount({ namespace, rules })
      const { core } = clients(account.kubeconfig)
      expect((await core.listNamespacedPod({ namespace })).items).toBeInstanceOf(Array)
      await expect(core.listNamespacedSecret({ namespace })).rejects.toMatchObject({ code: 403 })
      await account.setRules([])
      const refused = () =>
        core.listNamespacedPod({ namespace }).then(
          () => undefined,
          (error: unknown) => error,
        )
      expect(await until('it is refused', refused)).toMatchObject({ code: 403 })
      const expired = new KubeConfig()
      expired.loadFromFile(account.kubeconfig)
      expired.users = [{ name: account.name, token: await account.makeToken(-5) }]
      const late = expired.makeApiClient(CoreV1Api).listNamespacedPod({ namespace })
      await expect(late).rejects.toMatchObject({ code: 401 })
    }, 60_000)

    test('the pods of a node whose power was cut have failed when it is back', async () => {
      await createJob(kubernetes, namespace, 'cut', busybox({ command: ['sleep', '987'] }))
      await untilPod(kubernetes, namespace, 'cut', running)
      await kubernetes.stopNode()
      await untilNodeIs('Unknown', kubernetes)
      await kubernetes.startNode()
      const failed = (pod: V1Pod) => pod.status?.phase === 'Failed' || undefined
      await untilPod(kubernetes, namespace, 'cut', failed, 120_000)
      const command = ['sh', '-c', 'exit 3']
      expect((await runJob(kubernetes, namespace, 'after', { command })).exitCode).toBe(3)
    }, 300_000)

    test('what a frozen node runs goes on, and is known when it answers again', async () => {
      const command = ['sh', '-c', 'sleep 1; exit 6']
      await createJob(kubernetes, namespace, 'frozen', busybox({ command }))
      await untilPod(kubernetes, namespace, 'frozen', running)
      await kubernetes.pauseNode()
      await untilNodeIs('Unknown', kubernetes)
      await kubernetes.resumeNode()
      const pod = await untilPod(kubernetes, namespace, 'frozen', ended)
      expect(pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(6)
    }, 180_000)

    test('requests hang while the API server is frozen', async () => {
      await kubernetes.pauseApiServer()
      const { core } = clients(kubernetes.kubeconfig)
      const answer = core.listNamespacedPod({ namespace }).then(() => 'answered')
      const silence = setTimeout(1500, 'nothing')
      expect(await Promise.race([answer, silence])).toBe('nothing')
      await kubernetes.resumeApiServer()
      expect(await answer).toBe('answered')
    }, 60_000)

    if (!node) return

    test('keeps every other cluster with a node waiting', async () => {
      const { code } = await tryCommand(['flock', '-n', '/run/lock/molehill-kubernetes-node', 'true'])
      expect(code).toBe(1)
    })

    test('runs an image of programs of this machine', async () => {
      const directory = await mkdtemp(join(tmpdir(), 'molehill-image-'))
      try {
        const [rootfs, archive] = [join(directory, 'rootfs'), join(directory, 'image.tar')]
        await runCommand([join(scripts, 'rootfs.sh'), rootfs, 'sh', 'bash', `node=${process.execPath}`])
        await runCommand([join(scripts, 'image.sh'), 'localhost/node:test', rootfs, archive])
        await kubernetes.importImage(archive)
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
      const command = ['bash', '-c', 'node --version']
      const image = 'localhost/node:test'
      const { exitCode, log } = await runJob(kubernetes, namespace, 'node', { image, command })
      expect({ exitCode, log }).toEqual({ exitCode: 0, log: `${process.version}\n` })
    }, 180_000)
  })
}

describeWith('kubernetes', 'a Kubernetes whose starter is killed', () => {
  test('ends too, with its pods', async () => {
    const script = `
      import { startKubernetes } from '${join(import.meta.dirname, 'kubernetes.ts')}'
      const { directory, url } = await startKubernetes()
      console.log(JSON.stringify({ directory, url }))`
    const starter = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const lines = createInterface({ input: starter.stdout })
      const [line] = (await once(lines, 'line')) as [string]
      const { directory, url } = JSON.parse(line) as { directory: string; url: string }
      const { core } = clients(join(directory, 'kubeconfig/admin'))
      const containers = [busybox({ command: ['sleep', '986'] })]
      await core.createNamespacedPod({
        namespace: 'default',
        body: { metadata: { name: 'left' }, spec: { containers } },
      })
      const isRunning = async () =>
        running(await core.readNamespacedPod({ namespace: 'default', name: 'left' }))
      await until('the pod runs', isRunning, () => 'it does not', 60_000)
      const pids = await markedProcesses(directory)
      starter.kill('SIGKILL')
      await until(
        'its directory is gone',
        () => !existsSync(directory) || undefined,
        () => 'still there',
        60_000,
      )
      expect(pids.length).toBeGreaterThanOrEqual(6)
      expect(pids.filter(isAlive)).toEqual([])
      expect(await isListening(Number(new URL(url).port))).toBe(false)
    } finally {
      starter.kill('SIGKILL')
    }
  }, 180_000)
})
