import type { WireEvent, WireJob, WirePod } from '../cluster/wire.ts'

/*
 * Objects as an API server 1.20 gives them, without what nothing looks at. `start` is when the node took the pod.
 */

export const start = Date.parse('2026-03-01T12:00:00Z')

/** So many seconds after `start`, as Kubernetes writes it. */
export function at(seconds: number): string {
  return new Date(start + seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
}

const labels = { 'molehill/instance': 'i1', 'molehill/execution': 'e1', 'molehill/attempt': 'job-1' }

type JobParts = { annotations?: Record<string, string>; status?: WireJob['status']; suspend?: boolean }

export function job({ annotations = {}, status = { active: 1 }, suspend }: JobParts = {}): WireJob {
  return {
    metadata: {
      name: 'mh-job-1',
      uid: 'job-uid',
      labels,
      annotations: { 'molehill/job-id': 'job-1', ...annotations },
      creationTimestamp: at(-5),
    },
    spec: {
      backoffLimit: 0,
      ...(suspend !== undefined && { suspend }),
      template: { spec: { restartPolicy: 'Never', containers: [] } },
    },
    status,
  }
}

type State = NonNullable<NonNullable<NonNullable<WirePod['status']>['containerStatuses']>[number]['state']>

export const initializing: State = { waiting: { reason: 'PodInitializing' } }
export const runs: State = { running: { startedAt: at(2) } }

export function ends(exitCode: number, parts: Partial<NonNullable<State['terminated']>> = {}): State {
  const reason = exitCode === 0 ? 'Completed' : 'Error'
  return { terminated: { exitCode, reason, startedAt: at(2), finishedAt: at(10), ...parts } }
}

type PodParts = {
  uid?: string
  annotations?: Record<string, string>
  deleted?: boolean
  deadline?: number
  /** Whether its node has made no network for it, or has none any more. */
  isWithoutAddress?: boolean
  stageIn?: State
  main?: State
  stageOut?: State
  status?: WirePod['status']
}

export function pod(parts: PodParts = {}): WirePod {
  const { uid = 'pod-uid', annotations = {}, deleted = false, deadline = 3600, status } = parts
  const { isWithoutAddress = false } = parts
  const { stageIn = ends(0, { finishedAt: at(1) }), main = runs, stageOut = runs } = parts
  const container = (name: string, state: State) => ({
    name,
    state,
    image: 'x',
    imageID: '',
    ready: false,
    restartCount: 0,
    lastState: {},
  })
  return {
    metadata: {
      name: 'mh-job-1-abcde',
      uid,
      labels,
      annotations,
      ...(deleted && { deletionTimestamp: at(20), deletionGracePeriodSeconds: 12 }),
    },
    spec: { nodeName: 'node-7', activeDeadlineSeconds: deadline, containers: [] },
    status: {
      phase: 'Running',
      startTime: at(0),
      ...(!isWithoutAddress && { podIP: '10.1.2.3' }),
      conditions: [{ type: 'PodScheduled', status: 'True', lastTransitionTime: at(0) }],
      initContainerStatuses: [container('stage-in', stageIn)],
      containerStatuses: [container('main', main), container('stage-out', stageOut)],
      ...status,
    },
  }
}

/** A pod that no node has taken. */
export function unscheduled(message: string): WirePod {
  return {
    metadata: { name: 'mh-job-1-abcde', uid: 'pod-uid', labels },
    spec: { activeDeadlineSeconds: 3600, containers: [] },
    status: {
      phase: 'Pending',
      conditions: [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'Unschedulable',
          message,
          lastTransitionTime: at(0),
        },
      ],
    },
  }
}

export function failedCreate(message: string, seconds: number): WireEvent {
  return {
    metadata: { name: `mh-job-1.${seconds}` },
    involvedObject: { kind: 'Job', name: 'mh-job-1', uid: 'job-uid' },
    reason: 'FailedCreate',
    type: 'Warning',
    message: `Error creating: ${message}`,
    firstTimestamp: at(seconds),
    lastTimestamp: at(seconds),
  }
}
