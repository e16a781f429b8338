import { expect, test } from 'vitest'
import { kubernetes, type KubernetesReferenceOptions } from './language.ts'
import { kubernetesOperatorOnly, kubernetesOptions, kubernetesSecrets } from './options.ts'

/** Every option that a script can say, but those that do not go with others. */
const all: Required<Omit<KubernetesReferenceOptions, 'inCluster' | 'pilots'>> = {
  name: 'cluster',
  namespace: 'simulations',
  image: 'python:3.13-slim',
  context: 'prod',
  serviceAccount: 'runner',
  nodeSelector: { zone: 'a' },
  tolerations: [{ key: 'gpu', operator: 'Equal', value: 'x', effect: 'NoExecute', tolerationSeconds: 5 }],
  priorityClass: 'low',
  runtimeClass: 'gvisor',
  securityContext: { runAsUser: 1, runAsGroup: 1, fsGroup: 1, runAsNonRoot: true, restricted: true },
  imagePullPolicy: 'Always',
  imagePullSecrets: ['registry'],
  labels: { team: 'x' },
  annotations: { 'example.org/a': 'b' },
  template: { metadata: { annotations: { a: 'b' } }, spec: { affinity: {} } },
  queue: 'team-a',
  stagingImage: 'registry.example.org/busybox-with-curl:1',
  hasRuntime: true,
  volume: 'molehill',
  fetchFrom: 'https://molehill.example:8443',
  fetchAuthority: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
  maxActiveJobs: 50,
  pendingLimit: '5 min',
  stagingLimit: 60_000,
  stopGraceMs: 1000,
  lostAfter: '2 h',
  time: '2 h',
  memory: '4 GB',
  cpus: 2,
  gpus: 1,
  gpuResource: 'amd.com/gpu',
  limitsCpus: true,
  variables: { A: 'b' },
}

test('all that a script can say is understood', () => {
  const reference = kubernetes(all)
  expect(reference).toMatchObject({ kind: 'kubernetes', name: 'cluster' })
  expect(kubernetesOptions.safeParse(reference.options).error?.issues ?? []).toEqual([])
  expect(kubernetesOptions.safeParse(kubernetes({ image: 'x', inCluster: true }).options).success).toBe(true)
  const pilots = { count: 4, slots: 16, time: '2 h', idleMs: 5000 }
  const piloted = kubernetesOptions.safeParse(kubernetes({ image: 'x', pilots }).options)
  expect(piloted.data?.pilots).toEqual({ ...pilots, time: 7_200_000 })
})

test('a script can say all options but those of operators and those that go with secrets', () => {
  const words = new Set([
    ...Object.keys(all),
    'inCluster',
    'pilots',
    ...kubernetesSecrets,
    ...kubernetesOperatorOnly,
    'url',
    'certificateAuthority',
  ])
  expect(Object.keys(kubernetesOptions.shape).filter((option) => !words.has(option))).toEqual([])
})
