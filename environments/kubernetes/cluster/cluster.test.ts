import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { until } from '../../../test/conformance/until.ts'
import { startKubernetes, type Kubernetes } from '../../../test/daemons/kubernetes.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { openCluster, type Cluster } from './cluster.ts'
import { configMapsOf } from './config-maps.fixtures.ts'
import { clockOf } from './clock.ts'
import { credentialsFrom } from './credentials.ts'
import { watchObjects } from './watch.ts'
import type { WireJob } from './wire.ts'

const clock = clockOf(Date.now)

/** A Job that starts no pod. */
function idleJob(name: string, labels: Record<string, string> = {}): WireJob {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, labels },
    spec: {
      parallelism: 0,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          containers: [{ name: 'main', image: 'localhost/busybox:local', command: ['true'] }],
        },
      },
    },
  }
}

describeWith('kubernetes', 'a cluster', () => {
  let kubernetes: Kubernetes
  let namespace: string
  let cluster: Cluster
  const signal = new AbortController().signal

  beforeAll(async () => {
    // Versions are forgotten after 4 s, and watches end after 5 to 10 s.
    kubernetes = await startKubernetes({
      apiServerArguments: ['--watch-cache=false', '--etcd-compaction-interval=4s', '--min-request-timeout=5'],
    })
    namespace = await kubernetes.makeNamespace()
    cluster = open({ namespace })
  }, 240_000)
  afterAll(async () => {
    await cluster.close()
    await kubernetes.stop()
  }, 120_000)

  function open(options: { namespace?: string; kubeconfig?: string; timeoutMs?: number } = {}): Cluster {
    const { kubeconfig: path = kubernetes.kubeconfig, ...more } = options
    const credentials = credentialsFrom({ kind: 'kubeconfig', file: { path } }, Date.now)
    return openCluster(credentials, { now: Date.now, ...more })
  }

  function opened(options: Parameters<typeof open>[0]): Cluster {
    const cluster = open(options)
    onTestFinished(() => cluster.close())
    return cluster
  }

  it('tells its version, the namespace and what we may do there', async () => {
    expect(await cluster.version(signal)).toMatchObject({ gitVersion: 'v1.20.2' })
    expect(await cluster.readNamespace(signal)).toMatchObject({
      metadata: { name: namespace },
      status: { phase: 'Active' },
    })
    const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }]
    const { kubeconfig } = await kubernetes.makeAccount({ namespace, rules })
    const ours = opened({ kubeconfig })
    expect(await ours.namespace(signal)).toBe(namespace)
    const pods = { group: '', resource: 'pods' }
    expect(await ours.mayI({ ...pods, verb: 'list' }, signal)).toEqual({
      allowed: true,
      reason: expect.any(String),
    })
    expect(await ours.mayI({ ...pods, verb: 'create', subresource: 'exec' }, signal)).toMatchObject({
      allowed: false,
    })
    await expect(ours.jobs.list({}, signal)).rejects.toMatchObject({
      name: 'ApiError',
      status: 403,
      reason: 'Forbidden',
      message: expect.stringContaining('cannot list resource "jobs"'),
    })
  })

  it('makes, finds, changes and deletes a Job once, and says what it refuses', async () => {
    const { jobs } = cluster
    await jobs.delete('one', {}, signal)
    const made = await jobs.create(idleJob('one', { 'molehill/attempt': 'a' }), signal)
    expect(made.metadata?.uid).toBeTypeOf('string')
    await expect(jobs.create(idleJob('one'), signal)).rejects.toMatchObject({
      status: 409,
      reason: 'AlreadyExists',
    })
    await expect(jobs.create(idleJob('a'.repeat(64)), signal)).rejects.toMatchObject({
      status: 422,
      reason: 'Invalid',
      details: { causes: expect.arrayContaining([expect.objectContaining({ reason: 'FieldValueInvalid' })]) },
    })
    const patched = await jobs.patch(
      'one',
      { metadata: { annotations: { 'molehill/cancelled': 'now' } } },
      signal,
    )
    expect(patched?.metadata?.annotations).toEqual({ 'molehill/cancelled': 'now' })
    expect((await jobs.find('one', signal))?.metadata?.annotations).toEqual({ 'molehill/cancelled': 'now' })
    await expect(jobs.delete('one', { uid: 'another' }, signal)).rejects.toMatchObject({ status: 409 })
    const options = { propagationPolicy: 'Background', uid: made.metadata?.uid ?? '' } as const
    expect(await jobs.delete('one', options, signal)).toBe(true)
    expect(await jobs.delete('one', options, signal)).toBe(false)
    expect(await jobs.find('one', signal)).toBeUndefined()
    expect(await jobs.patch('one', {}, signal)).toBeUndefined()
  })

  it('makes and deletes secrets and configuration maps, and lists events', async () => {
    const metadata = { name: 'given' }
    await configMapsOf(cluster).create({ metadata, data: { a: 'b' } }, signal)
    expect(await configMapsOf(cluster).delete('given', {}, signal)).toBe(true)
    expect(
      (await cluster.events.list({ fieldSelector: 'involvedObject.name=nothing' }, signal)).items,
    ).toEqual([])
  })

  it('lists more than a page of objects, those with the labels only', async () => {
    const names = Array.from({ length: 520 }, (_, index) => `many-${index}`)
    const waiting = names.values()
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (const name of waiting) {
          const data = { a: name }
          await configMapsOf(cluster).create({ metadata: { name, labels: { many: 'yes' } }, data }, signal)
        }
      }),
    )
    const configMaps = configMapsOf(cluster)
    const { items, resourceVersion } = await configMaps.list({ labelSelector: 'many=yes' }, signal)
    expect(new Set(items.map(({ metadata }) => metadata?.name))).toEqual(new Set(names))
    expect(Number(resourceVersion)).toBeGreaterThan(0)
    expect(items[0]?.metadata).not.toHaveProperty('managedFields')
  }, 120_000)

  it('tells a namespace that is not there from a Job that is not there', async () => {
    const nowhere = opened({ namespace: 'nowhere' })
    await expect(nowhere.readNamespace(signal)).rejects.toMatchObject({ status: 404, reason: 'NotFound' })
    await expect(nowhere.jobs.create(idleJob('one'), signal)).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining('namespaces "nowhere" not found'),
    })
  })

  it('gives up a call when its signal aborts, and when the server is silent', async () => {
    const impatient = opened({ namespace, timeoutMs: 1500 })
    await impatient.version(signal)
    await kubernetes.pauseApiServer()
    try {
      const abort = new AbortController()
      const asked = cluster.version(abort.signal)
      abort.abort(new Error('enough'))
      await expect(asked).rejects.toThrow('enough')
      await expect(impatient.version(signal)).rejects.toMatchObject({ status: 0, reason: 'TimedOut' })
    } finally {
      await kubernetes.resumeApiServer()
      await kubernetes.untilReady()
    }
  }, 120_000)

  it('reads the credentials again when they are refused, once', async () => {
    const account = await kubernetes.makeAccount({
      namespace,
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
    })
    const tokens = [await account.makeToken(-60), account.token]
    let readings = 0
    const credentials = {
      told: 'a token that is renewed',
      read: async () => {
        const token = tokens[Math.min(readings, tokens.length - 1)] ?? ''
        readings += 1
        const { url, certificateAuthority } = kubernetes
        return credentialsFrom({ kind: 'token', url, token, certificateAuthority }, Date.now).read(signal)
      },
    }
    const renewed = openCluster(credentials, { now: Date.now, namespace })
    onTestFinished(() => renewed.close())
    expect((await renewed.pods.list({}, signal)).items).toEqual([])
    expect(readings).toBe(2)
    tokens.splice(0, 2, 'wrong')
    readings = 0
    const refusing = openCluster(credentials, { now: Date.now, namespace })
    onTestFinished(() => refusing.close())
    await expect(refusing.pods.list({}, signal)).rejects.toMatchObject({
      status: 401,
      reason: 'Unauthorized',
    })
    expect(readings).toBe(2)
  })

  it('tells that its connection is closed', async () => {
    const closed = open()
    await closed.version(signal)
    const asked = closed.version(signal)
    await Promise.all([expect(asked).rejects.toThrow(/is closed\./), closed.close()])
    await expect(closed.version(signal)).rejects.toThrow(/The connection to https:.* is closed\./)
  })

  it('loses no change while watches end, versions are forgotten and the API server is killed', async () => {
    const seen = new Map<string, Set<string>>()
    const stop = new AbortController()
    let outOfDate = 0
    const { jobs } = cluster
    const watched = watchObjects(
      {
        collection: {
          list: (...asked) => jobs.list(...asked),
          async *watch(...asked) {
            try {
              yield* jobs.watch(...asked)
            } catch (error) {
              if (error instanceof Error && 'status' in error && error.status === 410) outOfDate += 1
              throw error
            }
          },
        },
        selector: { labelSelector: 'watched=yes' },
        changed: (objects) => {
          for (const { metadata } of objects) {
            const states = seen.get(metadata?.name ?? '') ?? new Set()
            seen.set(metadata?.name ?? '', states.add(metadata?.annotations?.['state'] ?? 'new'))
          }
        },
        warn: (message) => expect.unreachable(message),
        clock,
        // Nothing is found by listing again: the watch alone must do.
        reconcileMs: 600_000,
      },
      stop.signal,
    )
    try {
      await watched.listed
      const names: string[] = []
      const make = async (name: string) => {
        names.push(name)
        await jobs.create(idleJob(name, { watched: 'yes' }), signal)
      }
      const told = (name: string, state: string) =>
        until(
          `${name} is seen as ${state}`,
          () => seen.get(name)?.has(state) || undefined,
          () => watched.health(),
          90_000,
        )
      await make('w-0')
      await told('w-0', 'new')
      // Across watches that the server ends, with versions so old that it has forgotten them.
      await until(
        'a version was forgotten',
        () => outOfDate > 0 || undefined,
        () => watched.health(),
        60_000,
      )
      await make('w-1')
      await told('w-1', 'new')
      await kubernetes.stopApiServer()
      await until(
        'the outage is noticed',
        () => watched.health().error,
        () => watched.health(),
        30_000,
      )
      expect(watched.objects.size).toBe(2)
      await kubernetes.startApiServer()
      // Before the watch is back.
      await jobs.patch('w-0', { metadata: { annotations: { state: 'changed' } } }, signal)
      await jobs.delete('w-1', { propagationPolicy: 'Background' }, signal)
      await make('w-2')
      await told('w-0', 'changed')
      await told('w-2', 'new')
      await until(
        'w-1 is gone',
        () => watched.objects.size === 2 || undefined,
        () => [...watched.objects.keys()],
        60_000,
      )
      const { items } = await jobs.list({ labelSelector: 'watched=yes' }, signal)
      expect(new Set(watched.objects.keys())).toEqual(new Set(items.map(({ metadata }) => metadata?.uid)))
      expect(watched.health().error).toBeUndefined()
    } finally {
      stop.abort()
      await watched.ended
    }
  }, 300_000)
})
