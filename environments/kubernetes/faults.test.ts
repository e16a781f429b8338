import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  BatchV1Api,
  CoreV1Api,
  KubeConfig,
  setHeaderOptions,
  type V1PodStatus,
} from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../src/environment/environment.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'
import { jobName } from './names.ts'
import { roleRules } from './rights.ts'

/** Pods of the stand-in do as the tag of their image says; these wait for ever, until a test says what they do. */
const waitingImage = 'localhost/any:creating'
const longMs = 120_000

let kubernetes: Kubernetes
let core: CoreV1Api
let batch: BatchV1Api
let namespace: string
let trial: Trial
let warnings: string[]

function connect({ kubeconfig }: Kubernetes): void {
  const configuration = new KubeConfig()
  configuration.loadFromFile(kubeconfig)
  core = configuration.makeApiClient(CoreV1Api)
  batch = configuration.makeApiClient(BatchV1Api)
}

/** An environment in the test's namespace, with these options besides. */
async function use(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const usual = { kubeconfig: kubernetes.kubeconfig, namespace, image: waitingImage, stopGraceMs: 1000 }
  // Undefined takes the usual value away.
  const given = Object.entries({ ...usual, ...options }).filter(([, value]) => value !== undefined)
  trial = new Trial((directory) =>
    plugin.create('kubernetes', plugin.options.parse(Object.fromEntries(given)), {
      directory,
      variables: {},
      now: Date.now,
      warn: (message) => void warnings.push(message),
    }),
  )
  await trial.open()
}

const job = (more: Partial<JobRequest> = {}) => trial.request(['true'], more)

async function outcomeOf(request: JobRequest) {
  return (await trial.environment.submit([request], noSignal)).get(request.id)
}

async function podsOf({ id }: { readonly id: JobRequest['id'] }) {
  const { items } = await core.listNamespacedPod({ namespace, labelSelector: `job-name=${jobName(id)}` })
  return items
}

/** The one pod of the job, once it is on the node. */
async function podOf(handle: JobHandle) {
  // The controllers take their time after the API server was away.
  return until(
    `${handle.id} has a pod on a node`,
    async () => (await podsOf(handle)).find(({ spec, status }) => spec?.nodeName && status?.startTime),
    undefined,
    60_000,
  )
}

/** Says for the kubelet how the job's container is. */
async function tell(handle: JobHandle, status: V1PodStatus): Promise<string> {
  const { metadata } = await podOf(handle)
  const name = metadata?.name ?? ''
  await core.patchNamespacedPodStatus(
    { namespace, name, body: { status } },
    setHeaderOptions('Content-Type', 'application/merge-patch+json'),
  )
  return name
}

const mainStatus = (state: object): V1PodStatus => ({
  phase: 'Running',
  containerStatuses: [
    { name: 'main', image: 'any', imageID: '', ready: true, restartCount: 0, state: { ...states, ...state } },
  ],
})
const states = { waiting: null, running: null, terminated: null } as unknown as object
const runningNow = () => mainStatus({ running: { startedAt: new Date() } })

async function submitRunning(): Promise<JobHandle> {
  const handle = await trial.submit(job())
  await tell(handle, runningNow())
  await trial.waitForRunning(handle)
  return handle
}

const untilNothingIsLeft = () =>
  until(
    'no Job and no pod is left',
    async () => {
      const { items: jobs } = await batch.listNamespacedJob({ namespace })
      const { items: pods } = await core.listNamespacedPod({ namespace })
      return jobs.length + pods.length === 0 || undefined
    },
    () => 'some',
    60_000,
  )

function keptFiles(): readonly string[] {
  const files = readdirSync(trial.ownDirectory, { recursive: true, withFileTypes: true })
  return files.filter((each) => each.isFile()).map(({ name }) => name)
}

async function setQuota(hard: Readonly<Record<string, string>>): Promise<void> {
  const body = { metadata: { name: 'limit' }, spec: { hard } }
  await core.createNamespacedResourceQuota({ namespace, body })
  await until('the quota counts', async () => {
    const { status } = await core.readNamespacedResourceQuota({ namespace, name: 'limit' })
    return status?.hard
  })
}

const removeQuota = () => core.deleteNamespacedResourceQuota({ namespace, name: 'limit' })

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

describeWith('kubernetes', 'when Kubernetes fails', () => {
  beforeAll(async () => {
    kubernetes = await startKubernetes()
    connect(kubernetes)
  }, longMs)
  afterAll(() => kubernetes.stop(), 60_000)
  beforeEach(async () => {
    warnings = []
    namespace = await kubernetes.makeNamespace()
  }, 60_000)
  afterEach(async () => {
    await trial.close().catch(() => undefined)
    await kubernetes.removeNamespace(namespace).catch(() => undefined)
  }, 60_000)

  test('an address without a cluster is an error of the environment that says so', async () => {
    const url = `https://127.0.0.1:${await freePort()}`
    await use({ kubeconfig: undefined, url, token: 'any' })
    for (const ask of [() => trial.environment.check(noSignal), () => outcomeOf(job())]) {
      await expect(ask()).rejects.toThrow(EnvironmentError)
      await expect(ask()).rejects.toThrow(/takes no connections/)
    }
  })

  test('a context that the kubeconfig has not is answered with those that it has', async () => {
    await use({ context: 'production' })
    for (const { name } of loaded().getContexts())
      await expect(trial.environment.check(noSignal)).rejects.toThrow(new RegExp(`production.*${name}`))
    await expect(outcomeOf(job())).rejects.toThrow(EnvironmentError)
  })

  test('a token that is refused is an error of the environment in a sentence', async () => {
    const { url, certificateAuthority } = kubernetes
    await use({ kubeconfig: undefined, url, certificateAuthority, token: 'nobodys' })
    for (const ask of [() => trial.environment.check(noSignal), () => outcomeOf(job())]) {
      await expect(ask()).rejects.toThrow(EnvironmentError)
      await expect(ask()).rejects.toThrow(/refuses the credentials: Unauthorized/)
    }
  })

  test('a token that is renewed in the kubeconfig is taken without a new start', async () => {
    const account = await kubernetes.makeAccount({ namespace, rules: roleRules })
    const write = async (lifetimeSeconds: number): Promise<void> => {
      const text = readFileSync(account.kubeconfig, 'utf8')
      const token = /"token": "([^"]+)"/.exec(text)?.[1] ?? ''
      writeFileSync(account.kubeconfig, text.replace(token, await account.makeToken(lifetimeSeconds)))
    }
    await write(5)
    await use({ kubeconfig: account.kubeconfig })
    const handle = await trial.submit(job())
    expect(await trial.observe(handle)).toMatchObject({ kind: 'queued' })
    const refusal = await until(
      'the token is over',
      async () => {
        const asked = await outcomeOf(job()).catch((error: unknown) => error)
        return asked instanceof Error ? asked : undefined
      },
      undefined,
      60_000,
    )
    expect(refusal).toBeInstanceOf(EnvironmentError)
    expect(refusal.message).toMatch(/refuses the credentials/)
    await write(3600)
    expect(await outcomeOf(job())).toMatchObject({ kind: 'accepted' })
    await until(
      'jobs are observed again',
      () =>
        trial.observe(handle).then(
          ({ kind }) => kind,
          () => undefined,
        ),
      undefined,
      90_000,
    )
  }, 180_000)

  test('a right that is missing is named with what it is for', async () => {
    const rules = roleRules.filter(({ resources }) => resources?.[0] !== 'pods/exec')
    const account = await kubernetes.makeAccount({ namespace, rules })
    await use({ kubeconfig: account.kubeconfig })
    const findings = await trial.environment.inspect?.(noSignal)
    expect(findings?.find(({ isGood }) => !isGood)).toMatchObject({
      what: 'rights',
      message: expect.stringMatching(/create, get pods\/exec\. Without that Molehill cannot bring files/),
    })
    await expect(trial.environment.check(noSignal)).rejects.toThrow(/pods\/exec/)
  })

  test('the right to make Jobs that is taken away is an error of the environment', async () => {
    const account = await kubernetes.makeAccount({ namespace, rules: roleRules })
    await use({ kubeconfig: account.kubeconfig })
    await trial.submit(job())
    await account.setRules([
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['get', 'list', 'watch', 'delete'] },
    ])
    const refused = outcomeOf(job())
    await expect(refused).rejects.toThrow(EnvironmentError)
    await expect(refused).rejects.toThrow(/No Job may be made in the namespace .*environment check/)
    await account.setRules(roleRules)
  })

  test('jobs are observed where events may not be seen', async () => {
    const rules = roleRules.filter(({ resources }) => resources?.[0] !== 'events')
    const account = await kubernetes.makeAccount({ namespace, rules })
    await setQuota({ pods: '0' })
    await use({ kubeconfig: account.kubeconfig })
    const handle = await trial.submit(job())
    await until('it is told why nothing is told', async () => {
      expect(await trial.observe(handle)).toEqual({ kind: 'queued' })
      return warnings.find((warning) => /events/.test(warning))
    })
    expect(warnings.filter((warning) => /events/.test(warning))).toHaveLength(1)
  })

  test('a namespace that is not there is named', async () => {
    await use({ namespace: 'nowhere' })
    await expect(trial.environment.check(noSignal)).rejects.toThrow(/There is no namespace nowhere/)
    const refused = outcomeOf(job())
    await expect(refused).rejects.toThrow(EnvironmentError)
    await expect(refused).rejects.toThrow(/There is no namespace nowhere/)
  })

  test('a namespace that is being deleted takes no jobs and says so', async () => {
    const name = 'holder'
    await core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name, finalizers: ['test/hold'] } },
    })
    await use()
    await kubernetes.removeNamespace(namespace)
    try {
      await until('it is being deleted', async () => {
        const { status } = await core.readNamespace({ name: namespace })
        return status?.phase === 'Terminating' || undefined
      })
      await expect(trial.environment.check(noSignal)).rejects.toThrow(/is being deleted/)
      const refused = outcomeOf(job())
      await expect(refused).rejects.toThrow(EnvironmentError)
      await expect(refused).rejects.toThrow(/is being deleted/)
    } finally {
      const body = { metadata: { finalizers: null } }
      await core.patchNamespacedConfigMap(
        { namespace, name, body },
        setHeaderOptions('Content-Type', 'application/merge-patch+json'),
      )
    }
  })

  test('jobs of a namespace that is deleted end, and nothing is kept for them', async () => {
    await use()
    const handles = await trial.submitAll([job(), job(), job()])
    await tell(handles[0]!, runningNow())
    await kubernetes.removeNamespace(namespace)
    for (const end of await trial.waitForAll(handles, longMs)) expect(['stopped', 'lost']).toContain(end.kind)
    await trial.environment.release(handles, noSignal)
    expect(keptFiles()).toEqual([])
  }, 180_000)

  test('an image that cannot be pulled ends its job after a while, and its pod goes', async () => {
    await use({ image: 'localhost/any:missing', pendingLimit: '2 s' })
    const handle = await trial.submit(job())
    expect(await trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      cause: 'unknown',
      message: expect.stringContaining('ErrImagePull: not found'),
    })
    expect((await trial.collect(handle)).stdout).toBe('')
    await trial.environment.release([handle], noSignal)
    await untilNothingIsLeft()
    expect(keptFiles()).toEqual([])
  })

  test('resources that no node has leave a job waiting, with the reason', async () => {
    await use()
    const handle = await trial.submit(job({ resources: { cpus: 1000 } }))
    await until('the reason is told', async () => {
      const observation = await trial.observe(handle)
      expect(observation.kind).toBe('queued')
      return 'reason' in observation && /Insufficient cpu/.test(observation.reason ?? '') ? true : undefined
    })
    await trial.environment.cancel([handle], noSignal)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
  })

  test('a quota of Jobs defers those above it, until there is room', async () => {
    await setQuota({ 'count/jobs.batch': '1' })
    await use()
    const first = await trial.submit(job())
    const request = job()
    expect(await outcomeOf(request)).toMatchObject({
      kind: 'deferred',
      reason: expect.stringContaining('exceeded quota'),
    })
    expect(keptFiles()).toEqual([first.id])
    await trial.environment.release([first], noSignal)
    const accepted = await until(
      'there is room',
      async () => ((await outcomeOf(request))?.kind === 'accepted' ? true : undefined),
      undefined,
      60_000,
    )
    expect(accepted).toBe(true)
  }, 90_000)

  test('a quota of pods leaves a job waiting, in the words of Kubernetes', async () => {
    await setQuota({ pods: '0' })
    await use({ pendingLimit: '1 s' })
    const handle = await trial.submit(job())
    await until(
      'the reason is told',
      async () => {
        const observation = await trial.observe(handle)
        expect(observation.kind).toBe('queued')
        return 'reason' in observation && /exceeded quota/.test(observation.reason ?? '') ? true : undefined
      },
      undefined,
      60_000,
    )
    await removeQuota()
    await until('it has a pod', async () => (await podsOf(handle))[0], undefined, 60_000)
  }, 150_000)

  test.each([
    ['oom', { kind: 'stopped', cause: 'out-of-memory' }],
    ['evicted', { kind: 'stopped', cause: 'preempted', message: expect.stringMatching(/low on resource/) }],
    ['shutdown', { kind: 'stopped', cause: 'node-failure' }],
    ['outofcpu', { kind: 'stopped', cause: 'node-failure' }],
    ['starterror', { kind: 'stopped', cause: 'unknown', message: expect.stringMatching(/no such file/) }],
  ])('a pod that ends as %s', async (tag, end) => {
    await use({ image: `localhost/any:${tag}` })
    const handle = await trial.submit(job())
    expect(await trial.waitForEnd(handle)).toMatchObject(end)
    expect((await trial.collect(handle)).collected.files).toEqual([])
    await trial.environment.release([handle], noSignal)
    await untilNothingIsLeft()
  })

  test('a pod that is deleted from outside is no run that goes on, and release ends the one after it', async () => {
    await use()
    const handle = await submitRunning()
    const first = await podOf(handle)
    await core.deleteNamespacedPod({ namespace, name: first.metadata?.name ?? '', gracePeriodSeconds: 0 })
    await until('Kubernetes has begun another one', async () =>
      (await podsOf(handle)).find(({ metadata }) => metadata?.uid !== first.metadata?.uid),
    )
    await trial.environment.release([handle], noSignal)
    await untilNothingIsLeft()
    expect(await trial.observe(handle)).toMatchObject({ kind: 'lost' })
  })

  test('a Job that is deleted from outside is lost', async () => {
    await use()
    const handle = await submitRunning()
    const name = jobName(handle.id)
    await batch.deleteNamespacedJob({ namespace, name, propagationPolicy: 'Background' })
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'lost' })
  })

  test('a field of the template that the server does not know is told of once', async () => {
    await use({ template: { spec: { schedulingGates: [{ name: 'example.org/gate' }] } } })
    await trial.submitAll([job(), job()])
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/leaves them out: spec\.template\.spec\.schedulingGates/)
  })

  test('a Job of the same name that is not ours is left alone', async () => {
    await use()
    const request = job()
    const name = jobName(request.id)
    const container = { name: 'theirs', image: waitingImage }
    const template = { spec: { restartPolicy: 'Never', containers: [container] } }
    await batch.createNamespacedJob({ namespace, body: { metadata: { name }, spec: { template } } })
    expect(await outcomeOf(request)).toMatchObject({
      kind: 'rejected',
      reason: expect.stringContaining(name),
    })
    expect(await trial.environment.recover([request.id], noSignal)).toEqual([])
    expect(keptFiles()).toEqual([])
  })

  test('an API server that is killed while jobs are submitted makes none twice and loses none', async () => {
    await use()
    const requests = Array.from({ length: 30 }, () => job())
    let open = requests
    const submitting = trial.environment.submit(open, noSignal).catch((error: unknown) => error)
    await kubernetes.killApiServer()
    const outcome = await submitting
    expect(outcome instanceof Map || outcome instanceof EnvironmentError).toBe(true)
    await kubernetes.untilReady()
    await until(
      'all are accepted',
      async () => {
        const found = await trial.environment
          .recover(
            open.map(({ id }) => id),
            noSignal,
          )
          .catch(() => [])
        open = open.filter(({ id }) => !found.some((handle) => handle.id === id))
        const outcomes = await trial.environment.submit(open, noSignal).catch(() => new Map())
        open = open.filter(({ id }) => outcomes.get(id)?.kind !== 'accepted')
        return open.length === 0 || undefined
      },
      () => open.length,
      90_000,
    )
    const { items } = await batch.listNamespacedJob({ namespace })
    expect(items).toHaveLength(requests.length)
    expect(new Set(items.map(({ metadata }) => metadata?.name))).toEqual(
      new Set(requests.map(({ id }) => jobName(id))),
    )
    const handles = await trial.environment.recover(
      requests.map(({ id }) => id),
      noSignal,
    )
    expect(handles).toHaveLength(30)
    await trial.environment.release(handles, noSignal)
  }, 180_000)

  test('jobs end while the API server is away, and are told of after', async () => {
    await use()
    const handle = await submitRunning()
    await kubernetes.stopApiServer()
    try {
      await until('that is noticed', async () => {
        const asked = await trial.observe(handle).catch((error: unknown) => error)
        return asked instanceof EnvironmentError || undefined
      })
    } finally {
      await kubernetes.startApiServer()
    }
    await tell(handle, mainStatus({ terminated: { exitCode: 5, reason: 'Error', finishedAt: new Date() } }))
    await until(
      'its end is told',
      async () => {
        const observation = await trial.observe(handle).catch(() => undefined)
        return observation?.kind === 'exited' ? true : undefined
      },
      undefined,
      90_000,
    )
  }, 180_000)

  test('an API server that is killed at the release leaves nothing behind in the end', async () => {
    await use()
    const handles = await trial.submitAll(Array.from({ length: 10 }, () => job()))
    const releasing = trial.environment.release(handles, noSignal).catch((error: unknown) => error)
    await kubernetes.killApiServer()
    const failure = await releasing
    expect(failure === undefined || failure instanceof EnvironmentError).toBe(true)
    await kubernetes.untilReady()
    await until('they are released', () =>
      trial.environment.release(handles, noSignal).then(
        () => true,
        () => undefined,
      ),
    )
    await untilNothingIsLeft()
    expect(keptFiles()).toEqual([])
  }, 180_000)

  test('an API server that hangs for a while is waited for', async () => {
    await use()
    const handle = await submitRunning()
    await kubernetes.pauseApiServer()
    const submitting = outcomeOf(job())
    submitting.catch(() => undefined)
    try {
      expect(await trial.observe(handle)).toMatchObject({ kind: 'running' })
      await new Promise((resolve) => setTimeout(resolve, 1500))
    } finally {
      await kubernetes.resumeApiServer()
    }
    expect(await submitting).toMatchObject({ kind: 'accepted' })
    expect(await trial.observe(handle)).toMatchObject({ kind: 'running' })
  }, 90_000)

  test('calls to an API server that hangs can be aborted, and the environment closed', async () => {
    await use()
    const handle = await submitRunning()
    await kubernetes.pauseApiServer()
    try {
      const stop = new AbortController()
      const calls = [
        trial.environment.submit([job()], stop.signal),
        trial.environment.cancel([handle], stop.signal),
        trial.environment.collect(handle, join(trial.directory, 'outputs'), stop.signal),
        trial.environment.check(stop.signal),
      ]
      const ends = Promise.allSettled(calls)
      stop.abort(new Error('enough'))
      for (const end of await ends)
        expect(end).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
      await trial.environment.close()
    } finally {
      await kubernetes.resumeApiServer()
    }
    await trial.open()
    await trial.environment.release([handle], noSignal)
  }, 90_000)

  test('what nobody recovers is deleted with its execution', async () => {
    await use()
    await trial.submitAll([job(), job(), job()])
    await trial.environment.close()
    await trial.open()
    expect(keptFiles()).toHaveLength(3)
    await trial.environment.discard?.(join(trial.directory, 'another'), noSignal)
    expect((await batch.listNamespacedJob({ namespace })).items).toHaveLength(3)
    await trial.environment.discard?.(trial.workDirectory, noSignal)
    await untilNothingIsLeft()
    expect(keptFiles()).toEqual([])
  }, 90_000)
})

function loaded(): KubeConfig {
  const configuration = new KubeConfig()
  configuration.loadFromFile(kubernetes.kubeconfig)
  return configuration
}

describeWith('kubernetes', 'when watches of Kubernetes expire', () => {
  beforeAll(async () => {
    const apiServerArguments = [
      '--watch-cache=false',
      '--etcd-compaction-interval=4s',
      '--min-request-timeout=5',
    ]
    kubernetes = await startKubernetes({ apiServerArguments })
    connect(kubernetes)
    namespace = await kubernetes.makeNamespace()
    warnings = []
  }, longMs)
  afterAll(() => kubernetes.stop(), 60_000)
  afterEach(() => trial.close(), 60_000)

  test('the ends of 20 jobs are told of, each once they are there', async () => {
    await use()
    const handles = await trial.submitAll(Array.from({ length: 20 }, () => job()))
    const told = new Set<string>()
    trial.environment.watch?.((ids) => ids.forEach((id) => told.add(id)), noSignal)
    for (const [number, handle] of handles.entries()) {
      await tell(handle, runningNow())
      const end = { exitCode: number, reason: 'Error', finishedAt: new Date() }
      await new Promise((resolve) => setTimeout(resolve, 700))
      told.delete(handle.id)
      await tell(handle, mainStatus({ terminated: end }))
      await until(
        `the end of job ${number} is told`,
        async () => {
          if (!told.has(handle.id)) return undefined
          const observation = await trial.observe(handle)
          return observation.kind === 'exited' && observation.exitCode === number ? true : undefined
        },
        () => [...told],
        40_000,
      )
    }
    expect(existsSync(trial.ownDirectory)).toBe(true)
  }, 300_000)
})
