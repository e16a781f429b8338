import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { BatchV1Api, CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../src/environment/environment.ts'
import { noSignal, Trial } from '../../test/conformance/trial.ts'
import { until } from '../../test/conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { plugin } from './index.ts'
import { jobName } from './names.ts'

/** Takes seconds to travel. */
const large = randomBytes(64 * 2 ** 20)
const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

let kubernetes: Kubernetes
let core: CoreV1Api
let batch: BatchV1Api
let namespace: string
let trial: Trial
let warnings: string[]

async function use(options: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const { kubeconfig, image } = kubernetes
  const usual = { kubeconfig, namespace, image, stagingImage: image, stopGraceMs: 1000 }
  trial = new Trial(
    (directory) =>
      plugin.create('kubernetes', plugin.options.parse({ ...usual, ...options }), {
        directory,
        variables: {},
        now: Date.now,
        warn: (message) => void warnings.push(message),
      }),
    120_000,
  )
  await trial.open()
}

async function podsOf({ id }: { readonly id: JobRequest['id'] }) {
  const { items } = await core.listNamespacedPod({ namespace, labelSelector: `job-name=${jobName(id)}` })
  return items
}

const untilStageIn = (handle: JobHandle) =>
  until(
    'the pod waits for files',
    async () =>
      (await podsOf(handle).catch(() => [])).find(
        ({ status }) => status?.initContainerStatuses?.[0]?.state?.running !== undefined,
      ),
    undefined,
    60_000,
  )

/** Returns in the middle of the transfer. */
async function untilBringing(handle: JobHandle): Promise<void> {
  await until(
    'the files are on their way',
    () => existsSync(join(trial.ownDirectory, 'pods', handle.id)) || undefined,
    undefined,
    60_000,
  )
  await pause(150)
}

function keptFiles(): readonly string[] {
  const files = readdirSync(trial.ownDirectory, { recursive: true, withFileTypes: true })
  return files.filter((each) => each.isFile()).map(({ name }) => name)
}

async function releaseAndLook(handle: JobHandle): Promise<void> {
  await trial.environment.release([handle], noSignal)
  await until(
    'no Job and no pod is left',
    async () => {
      const { items: jobs } = await batch.listNamespacedJob({ namespace })
      const { items: pods } = await core.listNamespacedPod({ namespace })
      return jobs.length + pods.length === 0 || undefined
    },
    undefined,
    60_000,
  )
  expect(keptFiles()).toEqual([])
}

/** Patient with a cluster that cannot be asked for a while. */
const untilEnd = (handle: JobHandle) =>
  until(
    `${handle.id} is over`,
    async () => {
      const seen = await trial.observe(handle).catch((error: unknown) => {
        if (error instanceof EnvironmentError) return undefined
        throw error
      })
      return seen === undefined || seen.kind === 'queued' || seen.kind === 'running' ? undefined : seen
    },
    undefined,
    180_000,
  )

const hashing = (): JobRequest => {
  writeFileSync(join(trial.workDirectory, 'large'), large)
  return trial.shell('sha256sum < large | cut -c1-64 | tee hash', { outputs: [{ path: 'hash' }] })
}

async function expectHash(handle: JobHandle, bytes: Buffer): Promise<void> {
  expect(await untilEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
  expect((await trial.collect(handle)).read('hash').toString()).toBe(`${hashOf(bytes)}\n`)
}

describeWith('kubernetes-node', 'when a node of Kubernetes fails', () => {
  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
    const configuration = new KubeConfig()
    configuration.loadFromFile(kubernetes.kubeconfig)
    core = configuration.makeApiClient(CoreV1Api)
    batch = configuration.makeApiClient(BatchV1Api)
  }, nodeTimeoutMs)
  afterAll(() => kubernetes.stop(), 60_000)
  beforeEach(async () => {
    warnings = []
    namespace = await kubernetes.makeNamespace()
  }, 60_000)
  afterEach(async () => {
    await trial.close()
    await kubernetes.removeNamespace(namespace)
  }, 60_000)

  test('an image that holds one program and nothing else runs it', async () => {
    await use({ image: 'localhost/one-program:test' })
    const rootfs = join(trial.directory, 'rootfs')
    mkdirSync(rootfs)
    cpSync('/bin/busybox', join(rootfs, 'echo'))
    const archive = join(trial.directory, 'image.tar')
    const script = join(import.meta.dirname, '../../test/daemons/kubernetes/image.sh')
    await runCommand(['bash', script, 'localhost/one-program:test', rootfs, archive])
    await kubernetes.importImage(archive)
    const { end, stdout } = await trial.run(trial.request(['/echo', 'all alone']))
    expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(stdout).toBe('all alone\n')
    // A shell there always is: the one that runs the job.
    const without = await trial.run(trial.request(['python3', '-V']))
    expect(without.end).toMatchObject({ kind: 'exited', exitCode: 127 })
    expect(without.stderr).toMatch(/python3/)
  }, 180_000)

  test('an image that is nowhere ends its job after a while, in the words of Kubernetes', async () => {
    await use({ image: 'localhost/nowhere:test', imagePullPolicy: 'Never', pendingLimit: '2 s' })
    const handle = await trial.submit(trial.shell('exit 0'))
    expect(await trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      message: expect.stringMatching(/ErrImageNeverPull/),
    })
    await releaseAndLook(handle)
  }, 180_000)

  test('a job that needs more memory than it asked for', async () => {
    await use()
    const script = 'x=$(head -c 300000000 /dev/zero | tr "\\0" x); echo "$x" | wc -c'
    const { handle, end } = await trial.run(trial.shell(script, { resources: { memoryBytes: 50e6 } }))
    expect(end).toMatchObject({ kind: 'stopped', cause: 'out-of-memory' })
    await releaseAndLook(handle)
  }, 180_000)

  test('an output that was not made is told as missing', async () => {
    await use()
    const outputs = [{ path: 'made' }, { path: 'not-made' }, { path: 'never', optional: true }]
    const { handle, collected } = await trial.run(trial.shell('echo it > made', { outputs }))
    expect(collected).toMatchObject({ files: ['made'], missing: ['not-made'] })
    await releaseAndLook(handle)
  }, 180_000)

  test('an output that cannot be read is told as missing, with the reason', async () => {
    await use({ securityContext: { runAsUser: 1234 } })
    const outputs = [{ path: 'closed' }]
    const script = 'echo said; echo it > closed; chmod 000 closed'
    const { handle, collected, stdout } = await trial.run(trial.shell(script, { outputs }))
    expect(collected).toMatchObject({
      files: [],
      missing: ['closed'],
      remark: expect.stringMatching(/closed.*Permission denied/),
    })
    expect(stdout).toBe('said\n')
    await releaseAndLook(handle)
  }, 180_000)

  test('files that cannot be read here stop the job with their name, and nothing is left', async () => {
    await use()
    const from = join(trial.directory, 'gone')
    writeFileSync(from, 'soon')
    const handle = await trial.submit(trial.shell('exit 0', { shared: [{ from, to: 'there' }] }))
    await trial.environment.close()
    rmSync(from)
    await trial.open()
    expect(await trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      message: expect.stringMatching(/Its files cannot be read: .*gone/),
    })
    await releaseAndLook(handle)
  }, 180_000)

  test('a file that changes while it is sent is sent again', async () => {
    await use()
    const handle = await trial.submit(hashing())
    await untilBringing(handle)
    appendFileSync(join(trial.workDirectory, 'large'), 'more')
    await expectHash(handle, Buffer.concat([large, Buffer.from('more')]))
    expect(warnings.join('\n')).toMatch(/large changed while it was being sent/)
    await releaseAndLook(handle)
  }, 180_000)

  test('a file that changes all the time stops its job in the end', async () => {
    await use()
    const handle = await trial.submit(hashing())
    const timer = setInterval(() => appendFileSync(join(trial.workDirectory, 'large'), 'more'), 20)
    try {
      expect(await trial.waitForEnd(handle)).toMatchObject({
        kind: 'stopped',
        message: expect.stringMatching(/large changed while it was being sent/),
      })
    } finally {
      clearInterval(timer)
    }
    await releaseAndLook(handle)
  }, 240_000)

  test('a server that ends while a pod waits for files brings them in its next life', async () => {
    await use()
    writeFileSync(join(trial.workDirectory, 'input'), 'brought')
    const handle = await trial.submit(trial.shell('cat input'))
    await trial.environment.close()
    await untilStageIn(handle)
    await trial.open()
    expect(await trial.environment.recover([handle.id], noSignal)).toMatchObject([{ id: handle.id }])
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect((await trial.collect(handle)).stdout).toBe('brought')
    await releaseAndLook(handle)
  }, 180_000)

  test('a server that ends in the middle of an archive brings it anew in its next life', async () => {
    await use()
    const handle = await trial.submit(hashing())
    await untilBringing(handle)
    await trial.environment.close()
    expect((await untilStageIn(handle)).status?.containerStatuses?.[0]?.state?.running).toBeUndefined()
    await trial.open()
    await expectHash(handle, large)
    await releaseAndLook(handle)
  }, 180_000)

  test('an API server that is killed while files are brought costs time only', async () => {
    await use()
    const handle = await trial.submit(hashing())
    await untilBringing(handle)
    await kubernetes.killApiServer()
    await expectHash(handle, large)
    expect(await podsOf(handle)).toHaveLength(1)
    await releaseAndLook(handle)
  }, 240_000)

  test('an API server that is killed while a job runs is not noticed by the job', async () => {
    await use()
    const handle = await trial.submit(trial.shell('echo begun; sleep 8; echo ended; exit 3'))
    await trial.waitForRunning(handle)
    await kubernetes.killApiServer()
    expect(await untilEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 3 })
    expect((await trial.collect(handle)).stdout).toBe('begun\nended\n')
    await releaseAndLook(handle)
  }, 240_000)

  test('outputs are whole although the API server is killed while they are fetched', async () => {
    await use()
    const outputs = [{ path: 'copy' }]
    writeFileSync(join(trial.workDirectory, 'large'), large)
    const handle = await trial.submit(trial.shell('cp large copy', { outputs }))
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    const target = join(trial.directory, `collected-${handle.id}`)
    const first = trial.environment.collect(handle, target, noSignal).catch((error: unknown) => error)
    await until('bytes have come', () => existsSync(join(target, 'copy')) || undefined)
    await kubernetes.killApiServer()
    expect(await first).toBeInstanceOf(EnvironmentError)
    await kubernetes.untilReady()
    const second = await until(
      'they are fetched',
      () =>
        trial.collect(handle).catch((error: unknown) => {
          if (error instanceof EnvironmentError) return undefined
          throw error
        }),
      undefined,
      90_000,
    )
    expect(hashOf(second.read('copy'))).toBe(hashOf(large))
    await releaseAndLook(handle)
  }, 240_000)

  test('a pod that is deleted while its job runs is preempted, and the next one runs nothing', async () => {
    await use()
    const handle = await trial.submit(trial.shell('exec sleep 600'))
    await trial.waitForRunning(handle)
    const [first] = await podsOf(handle)
    await core.deleteNamespacedPod({ namespace, name: first?.metadata?.name ?? '' })
    expect(await untilEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'preempted' })
    const second = await until(
      'Kubernetes has begun another one',
      async () =>
        (await podsOf(handle)).find(
          ({ metadata, status }) =>
            metadata?.uid !== first?.metadata?.uid &&
            status?.initContainerStatuses?.[0]?.state?.running !== undefined,
        ),
      undefined,
      60_000,
    )
    // Time enough for files, if it got any.
    await pause(3000)
    const found = (await podsOf(handle)).find(({ metadata }) => metadata?.uid === second.metadata?.uid)
    expect(found?.status?.phase).toBe('Pending')
    expect(await trial.observe(handle)).toMatchObject({ kind: 'stopped', cause: 'preempted' })
    await releaseAndLook(handle)
  }, 180_000)

  test('a job that is cancelled while its files are brought never runs', async () => {
    await use()
    const handle = await trial.submit(hashing())
    await untilBringing(handle)
    await trial.environment.cancel([handle], noSignal)
    expect(await trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect((await trial.collect(handle)).collected.files).toEqual([])
    await releaseAndLook(handle)
  }, 180_000)

  test('a job that is released while its files are brought leaves nothing', async () => {
    await use()
    const handle = await trial.submit(hashing())
    await untilBringing(handle)
    await releaseAndLook(handle)
    expect(await trial.observe(handle)).toMatchObject({ kind: 'lost' })
  }, 180_000)
})
