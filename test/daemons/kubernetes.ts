import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { until } from '../conformance/until.ts'
import { kubernetesTree } from './absence.ts'
import { sendSignal } from './enclosure.ts'
import { kubernetesAccounts, type KubernetesAccounts } from './kubernetes-accounts.ts'
import { realNode, standInNode, type KubernetesNode } from './kubernetes-nodes.ts'
import { hasEnded, markedProcesses } from './kubernetes-processes.ts'
import { claimPorts } from './ports.ts'
import { runCommand } from './run-command.ts'

export interface KubernetesOptions {
  /**
   * A real kubelet with containers: needs root, and one runs on a machine at a time; a second start waits for the first to
   * stop. Default: a stand-in whose pods are processes of this machine (kubernetes/standin-kubelet.ts).
   */
  readonly node?: boolean
  /** More flags for the API server; no blanks within. */
  readonly apiServerArguments?: readonly string[]
  /** More flags for the controllers, such as `--node-monitor-grace-period=5s`; no blanks within. */
  readonly controllerArguments?: readonly string[]
}

export interface Kubernetes extends KubernetesAccounts, KubernetesNode, AsyncDisposable {
  /** Path of the admin's kubeconfig; everything is inside it, no other file is named. */
  readonly kubeconfig: string
  /** The API server, and the admin's token for it. */
  readonly url: string
  readonly token: string
  /** In PEM: who signed the API server's certificate. */
  readonly certificateAuthority: string
  /** State and logs; removed by `stop`. */
  readonly directory: string
  /** An image that a real node has: busybox with its applets. Others by `importImage`. */
  readonly image: string
  /** Kills the API server; it comes back by itself after a second. */
  killApiServer(): Promise<void>
  /** Kills the API server, which stays away until `startApiServer`. */
  stopApiServer(): Promise<void>
  /** Returns when it answers. */
  startApiServer(): Promise<void>
  /** Freezes the API server: requests hang. */
  pauseApiServer(): Promise<void>
  resumeApiServer(): Promise<void>
  /** Waits until the API server answers, after it was killed. */
  untilReady(): Promise<void>
  /** Puts an image (a docker-archive) on a real node. A stand-in needs none. */
  importImage(archive: string): Promise<void>
  /** Numbers of its processes, those of stand-in pods among them, containers not; `program` as in `log`. */
  processes(program?: string): Promise<readonly number[]>
  /** The end of a log: kube-apiserver, kube-controller-manager, kube-scheduler, etcd, kubelet, containerd, standin. */
  log(program: string): Promise<string>
  stop(): Promise<void>
}

/**
 * A Kubernetes 1.20.2 on ports of 127.0.0.1. On two busy cores it takes 10 to 20 s to start and 0.8 GB of memory; a Job
 * takes 0.3 s, on a real node 1 to 2 s. With a node, the hook that calls this needs a time limit with room for other test
 * files, such as `nodeTimeoutMs`.
 */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<Kubernetes> {
  const ports = await claimPorts()
  const directory = await mkdtemp('/tmp/mh-')
  const guard = spawnGuard(directory, ports.first, options)
  const stop = async () => {
    await guard.stop()
    await ports.release()
  }
  try {
    const kubeconfig = await guard.kubeconfig
    return {
      ...(await describe(directory, ports.first, kubeconfig, options)),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** How long to wait for a cluster with a node while other test files may have theirs. */
export const nodeTimeoutMs = 1_500_000

async function describe(
  directory: string,
  port: number,
  kubeconfig: string,
  { node = false }: KubernetesOptions,
): Promise<Omit<Kubernetes, 'stop' | typeof Symbol.asyncDispose>> {
  const url = `https://127.0.0.1:${port}`
  const token = (await readFile(join(directory, 'keys/admin.token'), 'utf8')).trim()
  const certificateAuthority = await readFile(join(directory, 'keys/authority.crt'), 'utf8')
  const configuration = new KubeConfig()
  configuration.loadFromFile(kubeconfig)
  const core = configuration.makeApiClient(CoreV1Api)
  const apiServer = 'kube-apiserver'
  const untilReady = () => untilAnswering(`${url}/readyz`, certificateAuthority, token)
  const signal = async (name: NodeJS.Signals) => {
    const pids = await markedProcesses(directory, apiServer)
    for (const pid of pids) sendSignal(pid, name)
    return pids
  }
  const kill = async () => {
    const killed = await signal('SIGKILL')
    const areGone = async () => (await Promise.all(killed.map(hasEnded))).every(Boolean) || undefined
    await until('the API server is gone', areGone)
  }
  return {
    ...(node ? realNode(directory, port, core) : await standInNode(directory, core)),
    ...kubernetesAccounts(configuration, { directory, url, certificateAuthority }),
    kubeconfig,
    url,
    token,
    certificateAuthority,
    directory,
    image: 'localhost/busybox:local',
    killApiServer: kill,
    stopApiServer: async () => {
      await writeFile(join(directory, 'stopped', apiServer), '')
      await kill()
    },
    startApiServer: async () => {
      await rm(join(directory, 'stopped', apiServer), { force: true })
      await untilReady()
    },
    pauseApiServer: async () => void (await signal('SIGSTOP')),
    resumeApiServer: async () => void (await signal('SIGCONT')),
    untilReady,
    importImage: async (archive) => {
      const socket = join(directory, 'containerd.sock')
      await runCommand([
        `${kubernetesTree}/bin/ctr`,
        '-a',
        socket,
        '-n',
        'k8s.io',
        'images',
        'import',
        archive,
      ])
    },
    processes: (program) => markedProcesses(directory, program),
    log: async (program) => {
      const text = await readFile(join(directory, 'log', `${program}.log`), 'utf8').catch(() => '')
      return text.slice(-4000)
    },
  }
}

/** The process that ends the cluster and removes its directory when this one ends, however it ends. */
function spawnGuard(directory: string, port: number, options: KubernetesOptions) {
  const words = (list: readonly string[] = []) => list.join(' ')
  const guard = spawn('bash', [join(import.meta.dirname, 'kubernetes/guard.sh'), directory, kubernetesTree], {
    // a session of its own: Ctrl-C at the tests must not end the guard before it has cleaned up
    detached: true,
    env: {
      ...process.env,
      PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
      K8S_NODE: options.node === true ? '1' : '',
      K8S_PORT: String(port),
      K8S_API_ARGS: words(options.apiServerArguments),
      K8S_CONTROLLER_ARGS: words(options.controllerArguments),
    },
  })
  let said = ''
  guard.stderr.on('data', (chunk: Buffer) => (said = (said + String(chunk)).slice(-20_000)))
  guard.stdin.on('error', () => {})
  const ended = new Promise<void>((resolve, reject) => {
    guard.on('error', reject)
    guard.on('close', () => resolve())
  })
  const kubeconfig = readKubeconfig(guard, () => said)
  // it is awaited later, when it may have failed already
  kubeconfig.catch(() => {})
  return {
    kubeconfig,
    stop: async () => {
      guard.stdin.end()
      await ended
    },
  }
}

async function readKubeconfig(guard: ChildProcessWithoutNullStreams, said: () => string): Promise<string> {
  const line = await firstLine(guard.stdout)
  if (line === undefined || line === 'failed') throw new Error(`Kubernetes did not start: ${said()}`)
  return line
}

async function firstLine(stream: Readable): Promise<string | undefined> {
  const lines = createInterface({ input: stream })
  try {
    for await (const line of lines) return line
    return undefined
  } finally {
    lines.close()
    stream.resume()
  }
}

async function untilAnswering(url: string, ca: string, token: string): Promise<void> {
  let seen = ''
  await until(
    'the API server answers',
    () =>
      new Promise<true | undefined>((resolve) => {
        const request = get(url, {
          ca,
          headers: { authorization: `Bearer ${token}` },
          timeout: 2000,
          agent: false,
        })
        request.on('timeout', () => request.destroy(new Error('no answer within 2 s')))
        request.on('error', (error) => {
          seen = String(error)
          setTimeout(() => resolve(undefined), 50)
        })
        request.on('response', (response) => {
          response.resume()
          seen = String(response.statusCode)
          setTimeout(() => resolve(response.statusCode === 200 ? true : undefined), 50)
        })
      }),
    () => seen,
    120_000,
  )
}
