import { describe, expect, test } from 'vitest'
import { kubernetesOptions } from './options.ts'
import { merge } from './pods/template.ts'

const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'

function messages(options: Readonly<Record<string, unknown>>): string {
  const { error } = kubernetesOptions.safeParse({ image: 'python:3.13-slim', ...options })
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n')
}

test('an image is enough', () => {
  expect(kubernetesOptions.parse({ image: 'python:3.13-slim' })).toMatchObject({
    image: 'python:3.13-slim',
    stagingImage: 'busybox:1.36-musl',
    gpuResource: 'nvidia.com/gpu',
    pendingLimit: 120_000,
    stagingLimit: 3_600_000,
    allowExec: false,
    variables: {},
    template: {},
  })
  expect(kubernetesOptions.safeParse({}).success).toBe(false)
})

test('texts with units become numbers', () => {
  const options = {
    memory: '2 GB',
    time: '1 h',
    pendingLimit: '5 min',
    stagingLimit: '30 min',
    lostAfter: '2 h',
  }
  expect(kubernetesOptions.parse({ image: 'x', ...options })).toMatchObject({
    memory: 2 ** 31,
    time: 3_600_000,
    pendingLimit: 300_000,
    stagingLimit: 1_800_000,
    lostAfter: 7_200_000,
  })
})

test.each([
  [{ namespace: 'Simulations' }, 'namespace: expected a name of lower-case letters'],
  [{ namespace: 'x'.repeat(64) }, 'namespace: expected a name of at most 63 characters'],
  [{ image: 'python 3' }, 'image: expected the name of a container image'],
  [{ image: '' }, 'image: expected the name of a container image'],
  [{ image: undefined }, 'image: expected the name of a container image'],
  [{ kubeconfig: 'config' }, 'kubeconfig: expected an absolute path'],
  [
    { kubeconfig: '/a', inCluster: true },
    'only one way leads to a cluster, but there are kubeconfig and inCluster',
  ],
  [{ url: 'https://h', token: 't', kubeconfigText: 'x' }, 'only one way leads to a cluster'],
  [{ url: 'http://h:6443', token: 't' }, 'url: expected an address that begins with https://'],
  [{ url: 'https://h:6443' }, 'token: is needed for url'],
  [{ token: 't' }, 'token: needs the option url'],
  [{ certificateAuthority: '/ca.pem' }, 'certificateAuthority: needs the option url'],
  [{ url: 'https://h', token: 't', certificateAuthority: 'ca.pem' }, 'expected certificates as PEM text'],
  [{ inCluster: true, context: 'prod' }, 'context: contexts are of kubeconfigs'],
  [{ securityContext: { restricted: true } }, 'runAsUser: expected the number of a user other than 0'],
  [{ securityContext: { runAsNonRoot: true, runAsUser: 0 } }, 'expected the number of a user other than 0'],
  [{ tolerations: [{ effect: 'NoSchedule' }] }, "expected a key, or operator: 'Exists'"],
  [{ tolerations: [{ key: 'a', effect: 'Never' }] }, 'expected NoSchedule'],
  [{ labels: { 'molehill/attempt': 'x' } }, 'kept for Molehill itself'],
  [{ labels: { team: 'a b' } }, 'expected letters, digits and - _ .'],
  [{ nodeSelector: { 'a b': 'c' } }, 'nodeSelector.a b: expected letters, digits'],
  [{ variables: { 'A=B': 'x' } }, 'expected the name of a variable'],
  [{ variables: { A: 'x\0' } }, 'expected text without NUL'],
  [{ imagePullPolicy: 'Sometimes' }, 'expected Always, IfNotPresent or Never'],
  [{ volume: { claim: 'shared' } }, 'expected string'],
  [{ volume: 'My Claim' }, 'volume: expected a name of lower-case letters'],
  [{ fetchFrom: 'molehill:8480' }, 'fetchFrom: expected an address of this server such as http://'],
  [{ fetchFrom: 'http://user:word@molehill' }, 'fetchFrom: expected an address of this server'],
  [{ fetchFrom: 'http://molehill/$(HOME)' }, 'fetchFrom: expected an address of this server'],
  [{ fetchFrom: 'https://molehill' }, 'fetchFrom: https:// needs a stagingImage that holds curl too'],
  [
    { fetchFrom: 'https://m', stagingImage: 'docker.io/busybox@sha256:1' },
    'needs a stagingImage that holds curl',
  ],
  [
    { fetchFrom: 'http://m', fetchAuthority: pem },
    'fetchAuthority: needs a fetchFrom or objectStorage beside it',
  ],
  [
    { fetchFrom: 'https://m', stagingImage: 'x/curl', fetchAuthority: '/etc/ca.pem' },
    'fetchAuthority: expected certificates as PEM text',
  ],
  [{ objectStorage: { url: 's3://bucket' } }, 'objectStorage.url: expected an address such as https://s3'],
  [{ objectStorage: { url: 'http://s3/b?acl' } }, 'objectStorage.url: expected an address such as'],
  [
    { objectStorage: { url: 'https://s3/b' } },
    'objectStorage: https:// needs a stagingImage that holds curl',
  ],
  [{ objectStorage: { url: 'http://s3/b', accessKey: 'a' } }, 'objectStorageSecret: goes with the accessKey'],
  [{ objectStorageSecret: 's' }, 'objectStorageSecret: goes with the accessKey'],
  [
    { fetchFrom: 'http://m', pilots: { count: 1, slots: 1, time: '1 h' } },
    'fetchFrom: has no use beside pilots',
  ],
  [
    { objectStorage: { url: 'http://s3/b' }, pilots: { count: 1, slots: 1, time: '1 h' } },
    'objectStorage: has no use beside pilots',
  ],
  [{ memory: 'much' }, 'memory: expected a number with its unit'],
  [{ nodes: 2 }, 'Unrecognized key'],
])('%j is refused in a sentence', (options, message) => {
  expect(messages(options)).toContain(message)
})

test.each([
  [{ metadatas: {} }, 'template.metadatas: expected metadata or spec'],
  [{ spec: [] }, 'template.spec: expected an object'],
  [{ spec: { restartPolicy: 'Always' } }, 'template.spec.restartPolicy: is set by Molehill itself'],
  [{ spec: { activeDeadlineSeconds: 1 } }, 'activeDeadlineSeconds: is set by Molehill itself'],
  [{ spec: { containers: {} } }, 'expected a list of containers, each with its name'],
  [{ spec: { containers: [{ name: 'main', command: ['sh'] }] } }, 'command of the container "main" is set'],
  [
    { spec: { initContainers: [{ name: 'stage-in', image: 'x' }] } },
    'image of the container "stage-in" is set',
  ],
  [{ spec: { volumes: [{ name: 'molehill', emptyDir: {} }] } }, 'the volume molehill is'],
  [{ spec: { volumes: [{ name: 'molehill-claim', emptyDir: {} }] } }, 'the volume molehill-claim is'],
  [{ metadata: { labels: { 'molehill/x': 'y' } } }, 'kept for Molehill itself'],
])('the template %j is refused', (template, message) => {
  expect(messages({ template })).toContain(message)
})

test('a template may add to pods', () => {
  const template = {
    metadata: { annotations: { 'example.org/a': 'b' } },
    spec: {
      affinity: { nodeAffinity: {} },
      containers: [
        { name: 'main', volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        { name: 'side', image: 'x' },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
    },
  }
  expect(messages({ template })).toBe('')
})

describe('merge', () => {
  test('puts objects together field by field, replaces the rest, removes with null', () => {
    expect(merge({ a: 1, b: { c: 2, d: 3 }, e: [1, 2] }, { b: { c: 4, d: null }, e: [3], f: 'x' })).toEqual({
      a: 1,
      b: { c: 4 },
      e: [3],
      f: 'x',
    })
  })

  test('puts lists together by name', () => {
    const base = { containers: [{ name: 'main', image: 'a' }, { name: 'side' }] }
    const overlay = { containers: [{ name: 'main', tty: true }, { name: 'new' }] }
    expect(merge(base, overlay)).toEqual({
      containers: [{ name: 'main', image: 'a', tty: true }, { name: 'side' }, { name: 'new' }],
    })
  })

  test('tells mounts apart by their path, since one volume may have several', () => {
    const base = [{ name: 'v', mountPath: '/a' }]
    expect(merge(base, [{ name: 'v', mountPath: '/b' }])).toEqual([...base, { name: 'v', mountPath: '/b' }])
  })

  test('replaces lists without names, and by an empty one', () => {
    expect(merge([{ key: 'a' }], [{ key: 'b' }])).toEqual([{ key: 'b' }])
    expect(merge([{ name: 'a' }], [])).toEqual([])
  })

  test('changes neither side', () => {
    const base = { a: { b: [{ name: 'x', n: 1 }] } }
    const overlay = { a: { b: [{ name: 'x', n: 2 }], c: {} } }
    const copies = structuredClone([base, overlay])
    merge(base, overlay)
    expect([base, overlay]).toEqual(copies)
  })
})

test('pilots go with no claim and no graphics processors', () => {
  const pilots = { count: 2, slots: 4, time: '1 h' }
  expect(kubernetesOptions.parse({ image: 'x', pilots }).pilots).toEqual({
    count: 2,
    slots: 4,
    time: 3_600_000,
    idleMs: 60_000,
  })
  for (const other of [{ volume: 'data' }, { gpus: 1 }])
    expect(kubernetesOptions.safeParse({ image: 'x', pilots, ...other }).error?.issues).toMatchObject([
      { path: Object.keys(other), message: expect.stringContaining('beside pilots') },
    ])
})
