import { expect, test } from 'vitest'
import type { Observation } from '../../../src/environment/environment.ts'
import {
  at,
  ends,
  failedCreate,
  initializing,
  job,
  pod,
  runs,
  start,
  unscheduled,
} from './observe.fixtures.ts'
import { observationOf, type Seen } from './observe.ts'

const limits = { pendingLimitMs: 120_000, stopGraceMs: 10_000 }
const quota = 'pods "mh-job-1-abcde" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3'
const policy = 'pods "mh-job-1-abcde" is forbidden: violates PodSecurity "restricted:latest"'
const cancelledAt = (seconds: number) => ({
  'molehill/cancelled': new Date(start + seconds * 1000).toISOString(),
})
const pulling = { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "nope:1"' } }
const exited = (exitCode: number): Observation => ({ kind: 'exited', exitCode, host: 'node-7' })
const runningNow: Observation = { kind: 'running', host: 'node-7' }
const stopped = (cause: string, words = '') => ({
  kind: 'stopped',
  cause,
  message: expect.stringContaining(words),
})
const failedJob = (reason: string) =>
  job({ status: { failed: 1, conditions: [{ type: 'Failed', status: 'True', reason, message: 'told' }] } })
const deadlined = {
  phase: 'Failed',
  reason: 'DeadlineExceeded',
  message: 'Pod was active on the node too long',
}
const condition = {
  type: 'DisruptionTarget',
  status: 'True',
  reason: 'PreemptionByScheduler',
  message: 'room',
}

const cut = ends(255, { reason: 'Unknown' })
/** As kubelet 1.20 gives it when its power was cut between the making of a container and its begin. */
const unbegun = {
  terminated: { exitCode: 0, startedAt: null, finishedAt: null, containerID: 'containerd://0abc' },
} as unknown as typeof cut
const forgotten = pod({
  main: initializing,
  stageOut: initializing,
  isWithoutAddress: true,
  status: { phase: 'Pending' },
})

type Row = readonly [string, Partial<Seen> & { readonly seconds?: number }, unknown]

const rows: readonly Row[] = [
  [
    'neither Job nor pod is lost',
    { job: undefined, pods: [] },
    { kind: 'lost', message: expect.any(String) },
  ],

  [
    'a cancelled Job without pod',
    { job: job({ annotations: cancelledAt(3) }), pods: [] },
    stopped('cancelled'),
  ],
  ['a new Job', { pods: [] }, { kind: 'queued' }],
  [
    'a suspended Job',
    { job: job({ suspend: true, status: {} }), pods: [] },
    { kind: 'queued', reason: 'its Job is suspended until its queue admits it' },
  ],
  [
    'a Job whose pod is over the quota, however long: the newest event tells',
    {
      pods: [],
      events: [failedCreate('older', 1), failedCreate(quota, 2), failedCreate('old', 0)],
      seconds: 9999,
    },
    { kind: 'queued', reason: quota },
  ],
  [
    'events of other Jobs tell nothing',
    { pods: [], events: [{ ...failedCreate(quota, 2), involvedObject: { kind: 'Job', uid: 'other' } }] },
    { kind: 'queued' },
  ],
  [
    'a Job whose pod a policy forbids, at first',
    { pods: [], events: [failedCreate(policy, 2)], seconds: 100 },
    { kind: 'queued', reason: policy },
  ],
  [
    'a Job whose pod a policy forbids, after the limit',
    { pods: [], events: [failedCreate(policy, 2)], seconds: 120 },
    stopped('unknown', 'violates PodSecurity'),
  ],

  [
    'a complete Job whose pod is gone',
    { job: job({ status: { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] } }), pods: [] },
    { kind: 'exited', exitCode: 0 },
  ],
  [
    'a Job that failed at its deadline, pod gone',
    { job: failedJob('DeadlineExceeded'), pods: [] },
    stopped('timeout', 'told'),
  ],
  [
    'a Job that failed by policy, pod gone',
    { job: failedJob('PodFailurePolicy'), pods: [] },
    stopped('preempted', 'told'),
  ],
  [
    'a Job that failed, pod gone',
    { job: failedJob('BackoffLimitExceeded'), pods: [] },
    stopped('preempted', 'told'),
  ],
  [
    'a condition that is not true tells nothing',
    { job: job({ status: { conditions: [{ type: 'Failed', status: 'False' }] } }), pods: [] },
    { kind: 'queued' },
  ],

  [
    'two pods',
    { pods: [pod({ deleted: true }), pod({ uid: 'second' })] },
    stopped('preempted', 'another one'),
  ],
  [
    'another pod than the one that got the files',
    { pods: [pod()], startedPod: 'first' },
    stopped('preempted', 'another one'),
  ],
  ['the pod that got the files', { pods: [pod()], startedPod: 'pod-uid' }, runningNow],
  [
    'a pod deleted from outside',
    { pods: [pod({ deleted: true })] },
    stopped('preempted', 'deleted from outside'),
  ],
  [
    'a pod deleted because its Job was cancelled',
    { job: job({ annotations: cancelledAt(3) }), pods: [pod({ deleted: true })], seconds: 16 },
    runningNow,
  ],
  [
    'a cancelled pod that stays, deleted, on a node that is lost',
    { job: job({ annotations: cancelledAt(3) }), pods: [pod({ deleted: true })], seconds: 17 },
    stopped('cancelled'),
  ],

  ['exit 0', { pods: [pod({ main: ends(0) })] }, exited(0)],
  ['exit 7', { pods: [pod({ main: ends(7), stageOut: ends(0), status: { phase: 'Failed' } })] }, exited(7)],
  ["exit 137 with reason Error is the job's own", { pods: [pod({ main: ends(137) })] }, exited(137)],
  [
    '124 is an exit code where the script says so',
    { pods: [pod({ main: ends(124, { message: 'exited 124\n' }) })] },
    exited(124),
  ],
  [
    'the wall time',
    { pods: [pod({ main: ends(124, { message: 'timeout\n' }) })] },
    stopped('timeout', 'wall time'),
  ],
  [
    'a job that could not be run',
    { pods: [pod({ main: ends(125, { message: 'failed The directory is not there.' }) })] },
    stopped('unknown', 'The directory is not there.'),
  ],
  [
    'a job whose keeper was killed',
    { pods: [pod({ main: ends(125, { message: 'abandoned It was killed.' }) })] },
    stopped('node-failure', 'It was killed.'),
  ],
  ['OOMKilled', { pods: [pod({ main: ends(137, { reason: 'OOMKilled' }) })] }, stopped('out-of-memory')],
  [
    'OOMKilled with a code of its own',
    { pods: [pod({ main: ends(9, { reason: 'OOMKilled' }) })] },
    stopped('out-of-memory'),
  ],
  [
    'StartError',
    {
      pods: [
        pod({
          main: ends(128, {
            reason: 'StartError',
            message: 'no such file',
            startedAt: '1970-01-01T00:00:00Z',
          }),
        }),
      ],
    },
    stopped('unknown', 'no such file'),
  ],
  [
    'ContainerCannotRun',
    { pods: [pod({ main: ends(127, { reason: 'ContainerCannotRun', message: 'exec format error' }) })] },
    stopped('unknown', 'exec format error'),
  ],
  [
    'ContainerStatusUnknown',
    { pods: [pod({ main: ends(137, { reason: 'ContainerStatusUnknown' }) })] },
    stopped('node-failure'),
  ],
  ['a power cut while it ran', { pods: [pod({ main: cut, stageOut: cut })] }, stopped('node-failure')],
  [
    'a power cut after its end, before its outputs were fetched',
    { pods: [pod({ main: ends(0, { message: 'exited 0\n' }), stageOut: cut, status: { phase: 'Failed' } })] },
    stopped('node-failure', 'what kept its outputs went down'),
  ],
  [
    'a power cut of which the node has seen how what kept the outputs was killed',
    {
      pods: [
        pod({ main: ends(0, { message: 'exited 0\n' }), stageOut: ends(137), status: { phase: 'Failed' } }),
      ],
    },
    stopped('node-failure', 'outputs'),
  ],
  [
    'a power cut when its container was made and had not begun',
    { pods: [pod({ main: unbegun, stageOut: initializing, status: { phase: 'Pending' } })] },
    stopped('node-failure', 'before it began'),
  ],
  [
    'a power cut when what keeps the outputs was made and had not begun',
    {
      pods: [
        pod({ main: ends(0, { message: 'exited 0\n' }), stageOut: unbegun, status: { phase: 'Failed' } }),
      ],
    },
    stopped('node-failure', 'outputs'),
  ],
  [
    'a power cut while its files came',
    {
      pods: [pod({ stageIn: cut, main: initializing, stageOut: initializing, status: { phase: 'Failed' } })],
    },
    stopped('node-failure', 'before it began'),
  ],
  [
    'a power cut between its files and its begin',
    { pods: [forgotten], seconds: 122 },
    stopped('node-failure', 'before it began'),
  ],
  [
    'no address yet, while there is still hope',
    { pods: [forgotten], seconds: 120 },
    { kind: 'queued', reason: 'PodInitializing' },
  ],
  [
    'a large image that is pulled when the files are there',
    {
      pods: [pod({ main: initializing, stageOut: initializing, status: { phase: 'Pending' } })],
      seconds: 9999,
    },
    { kind: 'queued', reason: 'PodInitializing' },
  ],
  [
    'an end of its own before the deadline that ended the staging',
    { pods: [pod({ deadline: 60, main: ends(3), status: deadlined })], seconds: 65 },
    exited(3),
  ],
  [
    'an end of its own before the cancel',
    { pods: [pod({ annotations: cancelledAt(11.9), deadline: 1, main: ends(3), status: deadlined })] },
    exited(3),
  ],

  [
    'an end after the cancel',
    { pods: [pod({ annotations: cancelledAt(9.2), deadline: 1, main: ends(143), status: deadlined })] },
    stopped('cancelled'),
  ],
  [
    'an end in the second of the cancel',
    { pods: [pod({ annotations: cancelledAt(10.4), deadline: 1, main: ends(143) })] },
    stopped('cancelled'),
  ],
  [
    'a cancelled pod whose container still has its grace',
    { pods: [pod({ annotations: cancelledAt(20), deadline: 1, status: deadlined })], seconds: 33 },
    runningNow,
  ],
  [
    'a cancelled pod whose container never tells its end',
    { pods: [pod({ annotations: cancelledAt(20), deadline: 1, status: deadlined })], seconds: 34 },
    stopped('cancelled'),
  ],
  [
    'a cancelled pod that had not started',
    {
      pods: [pod({ annotations: cancelledAt(20), main: initializing, stageIn: pulling, status: deadlined })],
      seconds: 20,
    },
    stopped('cancelled'),
  ],
  [
    'a cancelled pod on a node that does nothing about it',
    { pods: [pod({ annotations: cancelledAt(20) })], seconds: 90 },
    stopped('cancelled'),
  ],
  [
    'a cancelled pod that still runs',
    { pods: [pod({ annotations: cancelledAt(20) })], seconds: 89 },
    runningNow,
  ],

  [
    'the deadline while the image could not be pulled',
    { pods: [pod({ main: pulling, status: deadlined })] },
    stopped('unknown', 'Back-off pulling image "nope:1"'),
  ],
  [
    'the deadline, container in its grace',
    { pods: [pod({ deadline: 60, status: deadlined })], seconds: 61 },
    runningNow,
  ],
  [
    'the deadline, container ended',
    {
      pods: [pod({ deadline: 60, main: ends(143, { finishedAt: at(60) }), status: deadlined })],
      seconds: 61,
    },
    stopped('timeout'),
  ],
  [
    'the deadline, container that never tells its end',
    { pods: [pod({ deadline: 60, status: deadlined })], seconds: 74 },
    stopped('timeout'),
  ],

  [
    'Evicted',
    { pods: [pod({ status: { phase: 'Failed', reason: 'Evicted', message: 'low on memory' } })] },
    stopped('preempted', 'low on memory'),
  ],
  [
    'Evicted, with the code of the kill',
    { pods: [pod({ main: ends(137), status: { phase: 'Failed', reason: 'Evicted' } })] },
    stopped('preempted'),
  ],
  [
    'Preempting',
    { pods: [pod({ status: { phase: 'Failed', reason: 'Preempting' } })] },
    stopped('preempted'),
  ],
  [
    'DisruptionTarget',
    {
      pods: [pod({ main: ends(143), status: { conditions: [{ ...condition, lastTransitionTime: at(9) }] } })],
    },
    stopped('preempted', 'room'),
  ],
  [
    'an end of its own before a DisruptionTarget',
    {
      pods: [pod({ main: ends(4), status: { conditions: [{ ...condition, lastTransitionTime: at(11) }] } })],
    },
    exited(4),
  ],
  ...[
    'NodeLost',
    'Shutdown',
    'Terminated',
    'NodeShutdown',
    'OutOfcpu',
    'OutOfmemory',
    'NodeAffinity',
    'UnexpectedAdmissionError',
  ].map((reason): Row => [
    reason,
    { pods: [pod({ status: { phase: 'Failed', reason } })] },
    stopped('node-failure', reason),
  ]),

  ...[
    'ErrImagePull',
    'ImagePullBackOff',
    'InvalidImageName',
    'ErrImageNeverPull',
    'CreateContainerConfigError',
  ].flatMap((reason): Row[] => {
    const main = { waiting: { reason, message: 'words' } }
    const pods = [pod({ main, status: { phase: 'Pending' } })]
    return [
      [`${reason} for a while`, { pods, seconds: 121 }, { kind: 'queued', reason: `${reason}: words` }],
      [
        `${reason} for too long after the files came`,
        { pods, seconds: 122 },
        stopped('unknown', `${reason}: words`),
      ],
    ]
  }),
  [
    'the staging image cannot be pulled',
    { pods: [pod({ stageIn: pulling, main: initializing, status: { phase: 'Pending' } })], seconds: 121 },
    stopped('unknown', 'Back-off pulling image'),
  ],

  [
    'Unschedulable, however long',
    { pods: [unscheduled('0/3 nodes are available: 3 Insufficient cpu.')], seconds: 99_999 },
    { kind: 'queued', reason: '0/3 nodes are available: 3 Insufficient cpu.' },
  ],
  [
    'a claim that is not bound',
    { pods: [unscheduled('pod has unbound immediate PersistentVolumeClaims.')], seconds: 9999 },
    { kind: 'queued', reason: 'pod has unbound immediate PersistentVolumeClaims.' },
  ],
  [
    'a claim that is not there',
    { pods: [unscheduled('persistentvolumeclaim "data" not found')], seconds: 121 },
    stopped('unknown', '"data" not found'),
  ],
  [
    'Pending while files come',
    {
      pods: [
        pod({ stageIn: runs, main: initializing, stageOut: initializing, status: { phase: 'Pending' } }),
      ],
      seconds: 9999,
    },
    { kind: 'queued', reason: 'its files are on their way' },
  ],
  [
    'ContainerCreating',
    {
      pods: [pod({ main: { waiting: { reason: 'ContainerCreating' } }, status: { phase: 'Pending' } })],
      seconds: 9999,
    },
    { kind: 'queued', reason: 'ContainerCreating' },
  ],
  [
    'a pod of which nothing is known yet',
    { pods: [{ metadata: { uid: 'pod-uid' }, status: { phase: 'Pending' } }] },
    { kind: 'queued' },
  ],

  ['Running', { pods: [pod()] }, runningNow],
  [
    'Running without container statuses',
    { pods: [pod({ status: { phase: 'Running', containerStatuses: [] } })] },
    runningNow,
  ],

  [
    'files that did not come',
    {
      pods: [
        pod({
          stageIn: ends(1, { message: 'The files did not come in time.' }),
          main: initializing,
          stageOut: initializing,
          status: { phase: 'Failed' },
        }),
      ],
    },
    stopped('unknown', 'The files did not come in time.'),
  ],
  [
    'a pod that failed for a reason that nobody knows, never to change again',
    { pods: [pod({ main: initializing, status: { phase: 'Failed', reason: 'New', message: 'new words' } })] },
    stopped('unknown', 'new words'),
  ],
  [
    'a pod that succeeded without telling how',
    { pods: [pod({ status: { phase: 'Succeeded', containerStatuses: [] } })] },
    exited(0),
  ],
  [
    'phase Unknown',
    { pods: [pod({ main: {}, status: { phase: 'Unknown', message: 'no news from the node' } })] },
    { kind: 'unclear', message: expect.stringContaining('no news from the node') },
  ],
]

test.each(rows)('%s', (_name, { seconds = 30, ...seen }, expected) => {
  expect(observationOf({ job: job(), pods: [], ...seen }, limits, start + seconds * 1000)).toEqual(expected)
})

test('a pod without its Job is seen all the same', () => {
  expect(observationOf({ job: undefined, pods: [pod({ main: ends(5) })] }, limits, start)).toEqual(exited(5))
})
