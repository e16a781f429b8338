import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CoreV1Api } from '@kubernetes/client-node'
import { until } from '../conformance/until.ts'
import { sendSignal } from './enclosure.ts'
import { killAll, markedProcesses, processesWith } from './kubernetes-processes.ts'

/** What may happen to a cluster's node. */
export interface KubernetesNode {
  readonly nodeName: string
  /**
   * Kills the node with all its pods, as when its power is cut. The controllers notice after
   * `--node-monitor-grace-period` (40 s).
   */
  stopNode(): Promise<void>
  /** Returns when the node is ready again; pods that ran when it was stopped have failed then, or soon will. */
  startNode(): Promise<void>
  /** Freezes the kubelet: the node is lost to the cluster, but what its pods run goes on. */
  pauseNode(): Promise<void>
  resumeNode(): Promise<void>
}

/** Starts the stand-in kubelet. It ends with this process, and by clean-up.sh with the cluster. */
export async function standInNode(directory: string, core: CoreV1Api): Promise<KubernetesNode> {
  const nodeName = 'standin-1'
  let standIn = await startStandIn(directory, nodeName)
  return {
    nodeName,
    stopNode: async () => {
      const exit =
        standIn.exitCode === null && standIn.signalCode === null ? once(standIn, 'exit') : undefined
      standIn.kill('SIGKILL')
      await exit
      await killAll('process of a stand-in pod', () => podProcesses(directory))
    },
    startNode: async () => {
      standIn = await startStandIn(directory, nodeName)
      await untilReady(core, nodeName)
    },
    pauseNode: async () => void standIn.kill('SIGSTOP'),
    resumeNode: async () => {
      standIn.kill('SIGCONT')
      await untilReady(core, nodeName)
    },
  }
}

/** The kubelet and the container runtime that up.sh started. */
export function realNode(directory: string, port: number, core: CoreV1Api): KubernetesNode {
  const nodeName = '127.0.0.1'
  const programs = ['kubelet', 'containerd']
  const stopped = (program: string) => join(directory, 'stopped', program)
  const cgroup = `molehill-kubernetes-${port}`
  const signal = async (name: NodeJS.Signals) => {
    for (const pid of await markedProcesses(directory, 'kubelet')) sendSignal(pid, name)
  }
  return {
    nodeName,
    stopNode: async () => {
      for (const program of programs) await writeFile(stopped(program), '')
      await killAll('process of the node', async () => [
        ...(await Promise.all(
          [...programs, 'containerd-shim-runc-v2'].map((each) => markedProcesses(directory, each)),
        ).then((lists) => lists.flat())),
        ...(await processesInCgroup(cgroup)),
      ])
    },
    startNode: async () => {
      for (const program of programs) await rm(stopped(program), { force: true })
      await untilReady(core, nodeName)
    },
    pauseNode: () => signal('SIGSTOP'),
    resumeNode: async () => {
      await signal('SIGCONT')
      await untilReady(core, nodeName)
    },
  }
}

async function startStandIn(directory: string, nodeName: string): Promise<ChildProcess> {
  const log = await open(join(directory, 'log/standin.log'), 'a')
  const program = join(import.meta.dirname, 'kubernetes/standin-kubelet.ts')
  const child = spawn(process.execPath, [program, directory, nodeName], {
    stdio: ['pipe', 'pipe', log.fd],
    env: { ...process.env, NODE_OPTIONS: '', KUBERNETES_STATE: directory },
  })
  await log.close()
  child.on('error', () => {})
  child.stdin?.on('error', () => {})
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => (said += String(chunk)))
  const readLog = () => readFile(join(directory, 'log/standin.log'), 'utf8')
  try {
    await until(
      'the stand-in node is ready',
      async () => {
        if (child.exitCode !== null) throw new Error(`the stand-in node ended: ${await readLog()}`)
        return said.includes('ready') || undefined
      },
      () => said,
      60_000,
    )
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return child
}

async function podProcesses(directory: string): Promise<readonly number[]> {
  const ofPods = await processesWith('KUBERNETES_STANDIN_NODE=standin-1')
  const ours = await markedProcesses(directory)
  return ofPods.filter((pid) => ours.includes(pid))
}

async function processesInCgroup(cgroup: string): Promise<readonly number[]> {
  // of version 1 every controller has them all
  const trees = [`/sys/fs/cgroup/pids/${cgroup}`, `/sys/fs/cgroup/${cgroup}`]
  const lists = await Promise.all(
    trees.map(async (tree) => {
      const files = await readdir(tree, { recursive: true }).catch(() => [])
      const procs = files.filter((file) => file.endsWith('cgroup.procs'))
      return Promise.all(procs.map((file) => readFile(join(tree, file), 'utf8').catch(() => '')))
    }),
  )
  return lists.flat().join('\n').split('\n').filter(Boolean).map(Number)
}

async function untilReady(core: CoreV1Api, name: string): Promise<void> {
  let seen: unknown
  await until(
    `the node ${name} is ready`,
    async () => {
      const node = await core.readNode({ name }).catch((error: unknown) => void (seen = String(error)))
      if (!node) return undefined
      const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')
      seen = { ready, taints: node.spec?.taints }
      return (ready?.status === 'True' && (node.spec?.taints ?? []).length === 0) || undefined
    },
    () => seen,
    120_000,
  )
}
