import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type {
  V1ContainerStateRunning,
  V1ContainerStateTerminated,
  V1ContainerStateWaiting,
  V1ContainerStatus,
  V1Pod,
  V1PodStatus,
} from '@kubernetes/client-node'
import { faultOf, type PodFault } from './standin-faults.ts'
import type { PodLog } from './standin-logs.ts'

/** How the stand-in tells the API server; both return when it has taken it. */
export interface PodReports {
  patchStatus(pod: V1Pod, status: V1PodStatus): Promise<void>
  removeObject(pod: V1Pod): Promise<void>
}

interface Entry extends PodLog {
  readonly pod: V1Pod
  readonly directory: string
  readonly startedAt: Date
  child?: ChildProcess
  /** Whether its last status was decided. */
  ended: boolean
  isDeleting: boolean
  deadlineSeconds?: number
  timer?: NodeJS.Timeout
  /** Why the node ended it. */
  reason?: string
  /** The report that it runs, before which no other may arrive. */
  running: Promise<void>
}

interface ContainerState {
  readonly waiting?: V1ContainerStateWaiting
  readonly running?: V1ContainerStateRunning
  readonly terminated?: V1ContainerStateTerminated
}

/**
 * The pods of one stand-in node: the first container of each runs as a process group of this machine, in a directory of
 * its own below `directory`. `mark` are variables that every process gets.
 */
export class StandInPods {
  readonly #directory: string
  readonly #mark: Readonly<Record<string, string>>
  readonly #reports: PodReports
  readonly #entries = new Map<string, Entry>()

  constructor(directory: string, mark: Readonly<Record<string, string>>, reports: PodReports) {
    this.#directory = directory
    this.#mark = mark
    this.#reports = reports
  }

  /** A pod that is bound to this node was added or has changed. */
  async see(pod: V1Pod): Promise<void> {
    const entry = this.#entries.get(uidOf(pod))
    if (pod.metadata?.deletionTimestamp !== undefined) await this.#stop(pod, entry)
    else if (entry !== undefined) this.#watchDeadline(pod, entry)
    else if (pod.status?.containerStatuses?.[0]?.state?.running !== undefined) await this.#tellLost(pod)
    else if (!['Succeeded', 'Failed'].includes(pod.status?.phase ?? '')) await this.#start(pod)
  }

  /** The pod's object is gone. */
  forget(pod: V1Pod): void {
    const entry = this.#entries.get(uidOf(pod))
    if (entry === undefined) return
    clearTimeout(entry.timer)
    killGroup(entry, 'SIGKILL')
    this.#entries.delete(uidOf(pod))
    rmSync(entry.directory, { recursive: true, force: true })
  }

  log(namespace: string, name: string): PodLog | undefined {
    return [...this.#entries.values()].findLast(
      ({ pod }) => pod.metadata?.namespace === namespace && pod.metadata.name === name,
    )
  }

  killAll(): void {
    for (const entry of this.#entries.values()) killGroup(entry, 'SIGKILL')
  }

  async #start(pod: V1Pod): Promise<void> {
    const directory = join(this.#directory, uidOf(pod))
    mkdirSync(directory, { recursive: true })
    const entry: Entry = {
      pod,
      directory,
      file: join(directory, 'log'),
      startedAt: new Date(),
      ended: false,
      isDeleting: false,
      running: Promise.resolve(),
      hasEnded: () => entry.ended,
    }
    this.#entries.set(uidOf(pod), entry)
    const fault = faultOf(pod.spec?.containers[0]?.image ?? '')
    if (fault === undefined) this.#run(entry)
    else entry.running = this.#tellFault(entry, fault)
    this.#watchDeadline(pod, entry)
    await entry.running
  }

  #run(entry: Entry): void {
    const { pod, directory, startedAt } = entry
    const container = pod.spec?.containers[0]
    const [program = '', ...words] = [...(container?.command ?? []), ...(container?.args ?? [])]
    const variables = Object.fromEntries((container?.env ?? []).map(({ name, value = '' }) => [name, value]))
    const out = openSync(entry.file, 'a')
    const child = spawn(program, words, {
      cwd: directory,
      detached: true,
      stdio: ['ignore', out, out],
      env: { PATH: process.env['PATH'], HOSTNAME: pod.metadata?.name, ...variables, ...this.#mark },
    })
    closeSync(out)
    entry.child = child
    child.on('error', (error) => void this.#end(entry, 128, 'StartError', String(error)))
    child.on('exit', (code, signal) => {
      // what it left in its group, as a container's end takes all
      signalGroup(child.pid, 'SIGKILL')
      const exitCode = code ?? 128 + (signal === null ? 1 : constants.signals[signal])
      void this.#end(entry, exitCode, exitCode === 0 ? 'Completed' : 'Error')
    })
    entry.running = this.#reports.patchStatus(pod, {
      phase: 'Running',
      startTime: startedAt,
      podIP: '127.0.0.1',
      hostIP: '127.0.0.1',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: new Date() }],
      containerStatuses: [containerStatus(pod, { running: { startedAt } })],
    })
  }

  async #end(entry: Entry, exitCode: number, reason: string, message?: string): Promise<void> {
    if (entry.ended) return
    entry.ended = true
    clearTimeout(entry.timer)
    const finishedAt = new Date()
    await entry.running
    const { pod, startedAt, child } = entry
    const containerID = `process://${child?.pid ?? 0}`
    const terminated = { exitCode, reason, startedAt, finishedAt, containerID, ...optional({ message }) }
    await this.#reports.patchStatus(pod, {
      phase: exitCode !== 0 || entry.reason !== undefined ? 'Failed' : 'Succeeded',
      ...optional({ reason: entry.reason }),
      containerStatuses: [containerStatus(pod, { terminated })],
    })
    if (entry.isDeleting) await this.#reports.removeObject(pod)
  }

  async #tellFault(entry: Entry, { phase, reason, message, ...fault }: PodFault): Promise<void> {
    const { pod, startedAt } = entry
    entry.ended = phase === 'Failed'
    const terminated = fault.terminated && { ...fault.terminated, startedAt, finishedAt: new Date() }
    const state = terminated ? { terminated } : fault.waiting && { waiting: fault.waiting }
    await this.#reports.patchStatus(pod, {
      phase,
      startTime: startedAt,
      ...optional({ reason, message }),
      ...(state === undefined ? {} : { containerStatuses: [containerStatus(pod, state)] }),
    })
  }

  /** It ran when an earlier stand-in of this node died with all its processes, as when the power was cut. */
  async #tellLost(pod: V1Pod): Promise<void> {
    const startedAt = pod.status?.containerStatuses?.[0]?.state?.running?.startedAt ?? new Date()
    const terminated = { exitCode: 255, reason: 'Unknown', startedAt, finishedAt: new Date() }
    await this.#reports.patchStatus(pod, {
      phase: 'Failed',
      containerStatuses: [containerStatus(pod, { terminated })],
    })
  }

  /** The deadline may be set or shortened while the pod runs, as on a real node. */
  #watchDeadline(pod: V1Pod, entry: Entry): void {
    const seconds = pod.spec?.activeDeadlineSeconds
    if (seconds === undefined || seconds === entry.deadlineSeconds || entry.ended || entry.isDeleting) return
    entry.deadlineSeconds = seconds
    clearTimeout(entry.timer)
    const end = () => {
      if (entry.ended) return
      entry.reason = 'DeadlineExceeded'
      if (entry.child !== undefined) {
        terminate(entry, pod.spec?.terminationGracePeriodSeconds ?? 30)
        return
      }
      entry.ended = true
      void this.#reports.patchStatus(pod, { phase: 'Failed', reason: entry.reason })
    }
    entry.timer = setTimeout(end, Math.max(0, entry.startedAt.getTime() + 1000 * seconds - Date.now()))
  }

  async #stop(pod: V1Pod, entry: Entry | undefined): Promise<void> {
    if (entry?.child?.pid === undefined || entry.ended) {
      await entry?.running
      await this.#reports.removeObject(pod)
    } else if (!entry.isDeleting) {
      entry.isDeleting = true
      terminate(entry, pod.metadata?.deletionGracePeriodSeconds ?? 30)
    }
  }
}

const uidOf = (pod: V1Pod): string => pod.metadata?.uid ?? ''

/** Other states as null, so that a merge takes them away. */
function containerStatus(pod: V1Pod, state: ContainerState): V1ContainerStatus {
  const { name = '', image = '' } = pod.spec?.containers[0] ?? {}
  const isRunning = state.running !== undefined
  const others = { running: null, waiting: null, terminated: null } as unknown as ContainerState
  return {
    name,
    image,
    imageID: '',
    restartCount: 0,
    ready: isRunning,
    started: isRunning,
    state: { ...others, ...state },
  }
}

function optional<T extends Record<string, string | undefined>>(fields: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: string
  }
}

function terminate(entry: Entry, graceSeconds: number): void {
  killGroup(entry, 'SIGTERM')
  setTimeout(() => killGroup(entry, 'SIGKILL'), 1000 * graceSeconds).unref()
}

/** Only while its first process is there, since the number is another's later. */
function killGroup({ child }: Entry, signal: NodeJS.Signals): void {
  if (child?.exitCode === null && child.signalCode === null) signalGroup(child.pid, signal)
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
