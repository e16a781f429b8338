import { readdirSync } from 'node:fs'
import {
  BatchV1Api,
  CoreV1Api,
  KubeConfig,
  setHeaderOptions,
  type V1Pod,
  type V1PodStatus,
} from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { JobHandle, JobRequest, SubmitOutcome } from '../../../src/environment/environment.ts'
import { noSignal, Trial } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import { startKubernetes, type Kubernetes, type KubernetesOptions } from '../../../test/daemons/kubernetes.ts'
import { plugin } from '../index.ts'
import { jobName } from '../pods/names.ts'

/** Pods of the stand-in do as the tag of their image says; these wait for ever, until a test says what they do. */
export const waitingImage = 'localhost/any:creating'

export interface SceneOptions {
  readonly cluster?: KubernetesOptions
  readonly startMs: number
  /** Options of environments that a test does not give itself. */
  readonly usual: (kubernetes: Kubernetes) => Readonly<Record<string, unknown>>
  /** How long a job may take that needs no time itself. */
  readonly patienceMs?: number
  /** Whether a test may leave an environment that cannot be closed in peace, as its cluster is not there. */
  readonly mayBeAway?: boolean
}

/** A cluster for all tests of a suite, and for each test a namespace of its own, with an environment in it. */
export class FaultScene {
  readonly #options: SceneOptions
  kubernetes!: Kubernetes
  core!: CoreV1Api
  batch!: BatchV1Api
  namespace = ''
  trial!: Trial
  warnings: string[] = []

  /** To be made where a suite is described: it starts and stops the cluster around the tests. */
  constructor(options: SceneOptions) {
    this.#options = options
    beforeAll(() => this.#start(), options.startMs)
    afterAll(() => this.kubernetes.stop(), 60_000)
    beforeEach(async () => {
      this.warnings = []
      this.namespace = await this.kubernetes.makeNamespace()
    }, 60_000)
    afterEach(() => this.#leave(), 60_000)
  }

  async #start(): Promise<void> {
    this.kubernetes = await startKubernetes(this.#options.cluster)
    const configuration = this.loaded()
    this.core = configuration.makeApiClient(CoreV1Api)
    this.batch = configuration.makeApiClient(BatchV1Api)
  }

  async #leave(): Promise<void> {
    const forgive = (error: unknown): void => {
      if (this.#options.mayBeAway !== true) throw error
    }
    await this.trial.close().catch(forgive)
    await this.kubernetes.removeNamespace(this.namespace).catch(forgive)
  }

  /** The admin's kubeconfig. */
  loaded(): KubeConfig {
    const configuration = new KubeConfig()
    configuration.loadFromFile(this.kubernetes.kubeconfig)
    return configuration
  }

  /** Opens an environment in the test's namespace with these options besides; undefined takes a usual one away. */
  async use(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const { kubeconfig } = this.kubernetes
    const usual = { kubeconfig, namespace: this.namespace, stopGraceMs: 1000 }
    const all = { ...usual, ...this.#options.usual(this.kubernetes), ...options }
    const given = Object.entries(all).filter(([, value]) => value !== undefined)
    this.trial = new Trial(
      (directory) =>
        plugin.create('kubernetes', plugin.options.parse(Object.fromEntries(given)), {
          directory,
          variables: {},
          now: Date.now,
          warn: (message) => void this.warnings.push(message),
        }),
      this.#options.patienceMs,
    )
    await this.trial.open()
  }

  job(more: Partial<JobRequest> = {}): JobRequest {
    return this.trial.request(['true'], more)
  }

  async outcomeOf(request: JobRequest): Promise<SubmitOutcome | undefined> {
    return (await this.trial.environment.submit([request], noSignal)).get(request.id)
  }

  async podsOf({ id }: { readonly id: JobRequest['id'] }): Promise<readonly V1Pod[]> {
    const { namespace } = this
    const { items } = await this.core.listNamespacedPod({
      namespace,
      labelSelector: `job-name=${jobName(id)}`,
    })
    return items
  }

  /** The one pod of the job, once it is on the node. */
  async podOf(handle: JobHandle): Promise<V1Pod> {
    // The controllers take their time after the API server was away.
    return until(
      `${handle.id} has a pod on a node`,
      async () => (await this.podsOf(handle)).find(({ spec, status }) => spec?.nodeName && status?.startTime),
      undefined,
      60_000,
    )
  }

  /** Says for the kubelet how the job's container is. */
  async tell(handle: JobHandle, status: V1PodStatus): Promise<void> {
    const { metadata } = await this.podOf(handle)
    await this.core.patchNamespacedPodStatus(
      { namespace: this.namespace, name: metadata?.name ?? '', body: { status } },
      setHeaderOptions('Content-Type', 'application/merge-patch+json'),
    )
  }

  async submitRunning(): Promise<JobHandle> {
    const handle = await this.trial.submit(this.job())
    await this.tell(handle, runningNow())
    await this.trial.waitForRunning(handle)
    return handle
  }

  async untilNothingIsLeft(): Promise<void> {
    const { namespace } = this
    let left: readonly unknown[] = []
    await until(
      'no Job and no pod is left',
      async () => {
        const { items: jobs } = await this.batch.listNamespacedJob({ namespace })
        const { items: pods } = await this.core.listNamespacedPod({ namespace })
        left = [...jobs, ...pods].map(({ metadata }) => metadata?.name)
        return left.length === 0 || undefined
      },
      () => left,
      60_000,
    )
  }

  /** What the environment keeps for jobs. */
  keptFiles(): readonly string[] {
    const files = readdirSync(this.trial.ownDirectory, { recursive: true, withFileTypes: true })
    return files.filter((each) => each.isFile()).map(({ name }) => name)
  }

  async setQuota(hard: Readonly<Record<string, string>>): Promise<void> {
    const { namespace } = this
    await this.core.createNamespacedResourceQuota({
      namespace,
      body: { metadata: { name: 'limit' }, spec: { hard } },
    })
    await until('the quota counts', async () => {
      const { status } = await this.core.readNamespacedResourceQuota({ namespace, name: 'limit' })
      return status?.hard
    })
  }

  async removeQuota(): Promise<void> {
    await this.core.deleteNamespacedResourceQuota({ namespace: this.namespace, name: 'limit' })
  }
}

const noState = { waiting: null, running: null, terminated: null } as unknown as object

/** The status of a pod whose container `main` is as told. */
export const mainStatus = (state: object): V1PodStatus => ({
  phase: 'Running',
  containerStatuses: [
    {
      name: 'main',
      image: 'any',
      imageID: '',
      ready: true,
      restartCount: 0,
      state: { ...noState, ...state },
    },
  ],
})

export const runningNow = (): V1PodStatus => mainStatus({ running: { startedAt: new Date() } })
