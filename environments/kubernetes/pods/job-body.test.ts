import { expect, test } from 'vitest'
import { toJobId } from '../../../src/environment/environment.ts'
import { jobBody, mountedIn } from './job-body.ts'
import { kubernetesOptions } from '../options.ts'
import type { WirePod } from '../cluster/wire.ts'

const identity = { id: toJobId('job-1'), instance: 'i1', execution: 'e1' }

function body(
  options: Readonly<Record<string, unknown>> = {},
  input: Readonly<Record<string, unknown>> = {},
) {
  const parsed = kubernetesOptions.parse({ image: 'python:3.13-slim', ...options })
  return jobBody({ ...identity, resources: {}, ...input }, parsed)
}

const podOf = (job: ReturnType<typeof body>) => job.spec!.template.spec!
const containerOf = (job: ReturnType<typeof body>, name: string) =>
  [...podOf(job).containers, ...(podOf(job).initContainers ?? [])].find((each) => each.name === name)!

test('a plain job', () => {
  const job = body()
  const labels = { 'molehill/instance': 'i1', 'molehill/execution': 'e1', 'molehill/attempt': 'job-1' }
  expect(job.metadata).toEqual({ name: 'mh-job-1', labels, annotations: { 'molehill/job-id': 'job-1' } })
  expect(job.spec?.template.metadata).toEqual({ labels, annotations: { 'molehill/job-id': 'job-1' } })
  expect(job.spec).toMatchObject({
    parallelism: 1,
    completions: 1,
    backoffLimit: 0,
    ttlSecondsAfterFinished: 604_800,
    podReplacementPolicy: 'Failed',
    podFailurePolicy: {
      rules: [{ action: 'FailJob', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }],
    },
  })
  expect(job.spec).not.toHaveProperty('suspend')
  expect(job.spec).not.toHaveProperty('activeDeadlineSeconds')
  expect(podOf(job)).toMatchObject({
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 12,
    automountServiceAccountToken: false,
    volumes: [{ name: 'molehill', emptyDir: {} }],
  })
  expect(podOf(job)).not.toHaveProperty('activeDeadlineSeconds')
  expect(containerOf(job, 'main')).toEqual({
    name: 'main',
    image: 'python:3.13-slim',
    command: ['/molehill/bin/busybox', 'sh', '/molehill/start'],
    volumeMounts: [{ name: 'molehill', mountPath: '/molehill' }],
  })
  expect(podOf(job).initContainers?.map(({ name }) => name)).toEqual(['stage-in'])
  expect(podOf(job).containers.map(({ name }) => name)).toEqual(['main', 'stage-out'])
  expect(containerOf(job, 'stage-in').image).toBe('busybox:1.36-musl')
})

test('the capsule is a label where it is known', () => {
  expect(body({}, { capsule: 'model' }).metadata?.labels).toMatchObject({ 'molehill/capsule': 'model' })
})

test('resources become requests and limits: processors only as a request', () => {
  const resources = { cpus: 2, memoryBytes: 2 ** 30, gpus: 1 }
  expect(containerOf(body({}, { resources }), 'main').resources).toEqual({
    requests: { cpu: '2', memory: '1073741824', 'nvidia.com/gpu': '1' },
    limits: { memory: '1073741824', 'nvidia.com/gpu': '1' },
  })
  const limited = body({ limitsCpus: true, gpuResource: 'amd.com/gpu' }, { resources })
  expect(containerOf(limited, 'main').resources?.limits).toEqual({
    cpu: '2',
    memory: '1073741824',
    'amd.com/gpu': '1',
  })
  expect(containerOf(limited, 'stage-out').resources?.limits).toMatchObject({ cpu: '1' })
  expect(containerOf(body({}, { resources: { cpus: 1 } }), 'main').resources).toEqual({
    requests: { cpu: '1' },
  })
})

test('the deadline of the pod is a net around wall time, pull and staging', () => {
  const options = { pendingLimit: '1 min', stagingLimit: '2 min', stopGraceMs: 3000 }
  const job = body(options, { resources: { wallTimeMs: 10_500 } })
  expect(podOf(job).activeDeadlineSeconds).toBe(60 + 120 + 11 + 3 + 2 + 120)
})

test('all that pods can be told', () => {
  const job = body({
    serviceAccount: 'runner',
    priorityClass: 'low',
    runtimeClass: 'gvisor',
    nodeSelector: { zone: 'a' },
    tolerations: [{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule' }],
    imagePullPolicy: 'Never',
    imagePullSecrets: ['registry'],
    labels: { team: 'x' },
    annotations: { 'example.org/a': 'b' },
  })
  expect(podOf(job)).toMatchObject({
    serviceAccountName: 'runner',
    priorityClassName: 'low',
    runtimeClassName: 'gvisor',
    nodeSelector: { zone: 'a' },
    tolerations: [{ key: 'gpu', operator: 'Exists', effect: 'NoSchedule' }],
    imagePullSecrets: [{ name: 'registry' }],
  })
  for (const container of [...podOf(job).containers, ...podOf(job).initContainers!])
    expect(container.imagePullPolicy).toBe('Never')
  for (const metadata of [job.metadata, job.spec?.template.metadata])
    expect(metadata).toMatchObject({
      labels: { team: 'x', 'molehill/attempt': 'job-1' },
      annotations: { 'example.org/a': 'b', 'molehill/job-id': 'job-1' },
    })
})

test('a namespace of the level restricted gets what it wants', () => {
  const job = body({ securityContext: { restricted: true, runAsUser: 1000, fsGroup: 1000 } })
  expect(podOf(job).securityContext).toEqual({
    runAsUser: 1000,
    fsGroup: 1000,
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  })
  for (const container of [...podOf(job).containers, ...podOf(job).initContainers!])
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    })
})

test('a queue of Kueue gets a suspended Job with its label', () => {
  const job = body({ queue: 'team-a' })
  expect(job.spec?.suspend).toBe(true)
  expect(job.metadata?.labels).toMatchObject({ 'kueue.x-k8s.io/queue-name': 'team-a' })
  expect(job.spec?.template.metadata?.labels).not.toHaveProperty('kueue.x-k8s.io/queue-name')
})

test('the template is merged over the pod, but its own labels stay', () => {
  const job = body({
    template: {
      metadata: { labels: { extra: 'y' } },
      spec: {
        enableServiceLinks: true,
        affinity: { nodeAffinity: {} },
        containers: [{ name: 'main', volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
        volumes: [{ name: 'data', emptyDir: {} }],
      },
    },
  })
  expect(job.spec?.template.metadata?.labels).toMatchObject({ extra: 'y', 'molehill/attempt': 'job-1' })
  expect(podOf(job)).toMatchObject({ enableServiceLinks: true, affinity: { nodeAffinity: {} } })
  expect(podOf(job).volumes?.map(({ name }) => name)).toEqual(['molehill', 'data'])
  expect(containerOf(job, 'main').volumeMounts).toHaveLength(2)
  expect(containerOf(job, 'main').command).toBeDefined()
})

test('Kubernetes reads commands as they are meant', () => {
  const job = body({ limitsCpus: true }, { resources: { wallTimeMs: 1000 } })
  for (const { command } of [...podOf(job).containers, ...podOf(job).initContainers!]) {
    expect(command?.join(' ')).not.toContain('$$')
    expect(command?.join(' ')).not.toMatch(/\$\([A-Za-z_][A-Za-z0-9_.-]*\)/)
  }
})

test('nothing in it is undefined: it is plain data', () => {
  const job = body({ tolerations: [{ key: 'a' }], securityContext: { runAsUser: 5 } })
  expect(structuredClone(job)).toStrictEqual(JSON.parse(JSON.stringify(job)))
})

test('what lies in a claim is mounted where it would be unpacked, and nothing else of it', () => {
  const hash = 'a'.repeat(40)
  const job = body({ volume: 'data' }, { mounted: [hash], isKept: true })
  expect(podOf(job).volumes).toEqual([
    { name: 'molehill', emptyDir: {} },
    { name: 'molehill-claim', persistentVolumeClaim: { claimName: 'data' } },
  ])
  const content = {
    name: 'molehill-claim',
    subPath: `molehill/i1/shared/${hash}/content`,
    mountPath: `/molehill/shared/${hash}/content`,
    readOnly: true,
  }
  const kept = {
    name: 'molehill-claim',
    subPath: 'molehill/i1/jobs/e1/mh-job-1',
    mountPath: '/molehill/kept',
  }
  const own = { name: 'molehill', mountPath: '/molehill' }
  expect(containerOf(job, 'stage-in').volumeMounts).toEqual([own])
  expect(containerOf(job, 'main').volumeMounts).toEqual([own, content])
  expect(containerOf(job, 'stage-out').volumeMounts).toEqual([own, content, kept])
  expect([...mountedIn({ spec: podOf(job) } as unknown as WirePod)]).toEqual([hash])
  expect(podOf(body({ volume: 'data' })).volumes).toHaveLength(1)
})

test('a pod that fetches its files is told where, and with which token, in one container', () => {
  const fetch = { address: 'http://molehill.example/job-files/i1/job-1', token: 'secret-1' }
  const job = body({ fetchFrom: 'http://molehill.example' }, { fetch })
  expect(containerOf(job, 'stage-in').env).toEqual([
    { name: 'MOLEHILL_FILES', value: fetch.address },
    { name: 'MOLEHILL_TOKEN', value: 'secret-1' },
    { name: 'MOLEHILL_POD', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
  ])
  expect(JSON.stringify(job).match(/secret-1/g)).toHaveLength(1)
  expect(containerOf(body(), 'stage-in')).not.toHaveProperty('env')
})
