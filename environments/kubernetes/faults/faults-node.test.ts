import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { EnvironmentError, type JobHandle, type JobRequest } from '../../../src/environment/environment.ts'
import { noSignal } from '../../../test/conformance/trial.ts'
import { until } from '../../../test/conformance/until.ts'
import { nodeTimeoutMs } from '../../../test/daemons/kubernetes.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { runCommand } from '../../../test/daemons/run-command.ts'
import { FaultScene } from './scene.fixtures.ts'

/** Takes seconds to travel. */
const large = randomBytes(64 * 2 ** 20)
const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

let scene: FaultScene

const untilStageIn = (handle: JobHandle) =>
  until(
    'the pod waits for files',
    async () =>
      (await scene.podsOf(handle).catch(() => [])).find(
        ({ status }) => status?.initContainerStatuses?.[0]?.state?.running !== undefined,
      ),
    undefined,
    60_000,
  )

/** Returns in the middle of the transfer. */
async function untilBringing(handle: JobHandle): Promise<void> {
  await until(
    'the files are on their way',
    () => existsSync(join(scene.trial.ownDirectory, 'pods', handle.id)) || undefined,
    undefined,
    60_000,
  )
  await pause(150)
}

async function releaseAndLook(handle: JobHandle): Promise<void> {
  await scene.trial.environment.release([handle], noSignal)
  await scene.untilNothingIsLeft()
  expect(scene.keptFiles()).toEqual([])
}

/** Patient with a cluster that cannot be asked for a while. */
const untilEnd = (handle: JobHandle) =>
  until(
    `${handle.id} is over`,
    async () => {
      const seen = await scene.trial.observe(handle).catch((error: unknown) => {
        if (error instanceof EnvironmentError) return undefined
        throw error
      })
      return seen === undefined || seen.kind === 'queued' || seen.kind === 'running' ? undefined : seen
    },
    undefined,
    180_000,
  )

const hashing = (): JobRequest => {
  writeFileSync(join(scene.trial.workDirectory, 'large'), large)
  return scene.trial.shell('sha256sum < large | cut -c1-64 | tee hash', { outputs: [{ path: 'hash' }] })
}

async function expectHash(handle: JobHandle, bytes: Buffer): Promise<void> {
  expect(await untilEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
  expect((await scene.trial.collect(handle)).read('hash').toString()).toBe(`${hashOf(bytes)}\n`)
}

describeWith('kubernetes-node', 'when a node of Kubernetes fails', () => {
  scene = new FaultScene({
    cluster: { node: true },
    startMs: nodeTimeoutMs,
    usual: ({ image }) => ({ image, stagingImage: image }),
    patienceMs: 120_000,
  })

  test('an image that holds one program and nothing else runs it', async () => {
    await scene.use({ image: 'localhost/one-program:test' })
    const rootfs = join(scene.trial.directory, 'rootfs')
    mkdirSync(rootfs)
    cpSync('/bin/busybox', join(rootfs, 'echo'))
    const archive = join(scene.trial.directory, 'image.tar')
    const script = join(import.meta.dirname, '../../../test/daemons/kubernetes/image.sh')
    await runCommand(['bash', script, 'localhost/one-program:test', rootfs, archive])
    await scene.kubernetes.importImage(archive)
    const { end, stdout } = await scene.trial.run(scene.trial.request(['/echo', 'all alone']))
    expect(end).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect(stdout).toBe('all alone\n')
    // A shell there always is: the one that runs the job.
    const without = await scene.trial.run(scene.trial.request(['python3', '-V']))
    expect(without.end).toMatchObject({ kind: 'exited', exitCode: 127 })
    expect(without.stderr).toMatch(/python3/)
  }, 180_000)

  test('an image that is nowhere ends its job after a while, in the words of Kubernetes', async () => {
    await scene.use({ image: 'localhost/nowhere:test', imagePullPolicy: 'Never', pendingLimit: '2 s' })
    const handle = await scene.trial.submit(scene.trial.shell('exit 0'))
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      message: expect.stringMatching(/ErrImageNeverPull/),
    })
    await releaseAndLook(handle)
  }, 180_000)

  test('a job that needs more memory than it asked for', async () => {
    await scene.use()
    const script = 'x=$(head -c 300000000 /dev/zero | tr "\\0" x); echo "$x" | wc -c'
    const { handle, end } = await scene.trial.run(
      scene.trial.shell(script, { resources: { memoryBytes: 50e6 } }),
    )
    expect(end).toMatchObject({ kind: 'stopped', cause: 'out-of-memory' })
    await releaseAndLook(handle)
  }, 180_000)

  test('an output that was not made is told as missing', async () => {
    await scene.use()
    const outputs = [{ path: 'made' }, { path: 'not-made' }, { path: 'never', optional: true }]
    const { handle, collected } = await scene.trial.run(scene.trial.shell('echo it > made', { outputs }))
    expect(collected).toMatchObject({ files: ['made'], missing: ['not-made'] })
    await releaseAndLook(handle)
  }, 180_000)

  test('an output that cannot be read is told as missing, with the reason', async () => {
    await scene.use({ securityContext: { runAsUser: 1234 } })
    const outputs = [{ path: 'closed' }]
    const script = 'echo said; echo it > closed; chmod 000 closed'
    const { handle, collected, stdout } = await scene.trial.run(scene.trial.shell(script, { outputs }))
    expect(collected).toMatchObject({
      files: [],
      missing: ['closed'],
      remark: expect.stringMatching(/closed.*Permission denied/),
    })
    expect(stdout).toBe('said\n')
    await releaseAndLook(handle)
  }, 180_000)

  test('files that cannot be read here stop the job with their name, and nothing is left', async () => {
    await scene.use()
    const from = join(scene.trial.directory, 'gone')
    writeFileSync(from, 'soon')
    const handle = await scene.trial.submit(scene.trial.shell('exit 0', { shared: [{ from, to: 'there' }] }))
    await scene.trial.environment.close()
    rmSync(from)
    await scene.trial.open()
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({
      kind: 'stopped',
      message: expect.stringMatching(/Its files cannot be read: .*gone/),
    })
    await releaseAndLook(handle)
  }, 180_000)

  test('a file that changes while it is sent is sent again', async () => {
    await scene.use()
    const handle = await scene.trial.submit(hashing())
    await untilBringing(handle)
    appendFileSync(join(scene.trial.workDirectory, 'large'), 'more')
    await expectHash(handle, Buffer.concat([large, Buffer.from('more')]))
    await releaseAndLook(handle)
  }, 180_000)

  test('a file that changes all the time stops its job in the end', async () => {
    await scene.use()
    const handle = await scene.trial.submit(hashing())
    const timer = setInterval(() => appendFileSync(join(scene.trial.workDirectory, 'large'), 'more'), 20)
    try {
      expect(await scene.trial.waitForEnd(handle)).toMatchObject({
        kind: 'stopped',
        message: expect.stringMatching(/large changed while it was being sent/),
      })
    } finally {
      clearInterval(timer)
    }
    await releaseAndLook(handle)
  }, 240_000)

  test('a server that ends while a pod waits for files brings them in its next life', async () => {
    await scene.use()
    writeFileSync(join(scene.trial.workDirectory, 'input'), 'brought')
    const handle = await scene.trial.submit(scene.trial.shell('cat input'))
    await scene.trial.environment.close()
    await untilStageIn(handle)
    await scene.trial.open()
    expect(await scene.trial.environment.recover([handle.id], noSignal)).toMatchObject([{ id: handle.id }])
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    expect((await scene.trial.collect(handle)).stdout).toBe('brought')
    await releaseAndLook(handle)
  }, 180_000)

  test('a server that ends in the middle of an archive brings it anew in its next life', async () => {
    await scene.use()
    const handle = await scene.trial.submit(hashing())
    await untilBringing(handle)
    await scene.trial.environment.close()
    expect((await untilStageIn(handle)).status?.containerStatuses?.[0]?.state?.running).toBeUndefined()
    await scene.trial.open()
    await expectHash(handle, large)
    await releaseAndLook(handle)
  }, 180_000)

  test('an API server that is killed while files are brought costs time only', async () => {
    await scene.use()
    const handle = await scene.trial.submit(hashing())
    await untilBringing(handle)
    await scene.kubernetes.killApiServer()
    await expectHash(handle, large)
    expect(await scene.podsOf(handle)).toHaveLength(1)
    await releaseAndLook(handle)
  }, 240_000)

  test('an API server that is killed while a job runs is not noticed by the job', async () => {
    await scene.use()
    const handle = await scene.trial.submit(scene.trial.shell('echo begun; sleep 8; echo ended; exit 3'))
    await scene.trial.waitForRunning(handle)
    await scene.kubernetes.killApiServer()
    expect(await untilEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 3 })
    expect((await scene.trial.collect(handle)).stdout).toBe('begun\nended\n')
    await releaseAndLook(handle)
  }, 240_000)

  test('outputs are whole although the API server is killed while they are fetched', async () => {
    await scene.use()
    const outputs = [{ path: 'copy' }]
    writeFileSync(join(scene.trial.workDirectory, 'large'), large)
    const handle = await scene.trial.submit(scene.trial.shell('cp large copy', { outputs }))
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'exited', exitCode: 0 })
    const target = join(scene.trial.directory, `collected-${handle.id}`)
    const first = scene.trial.environment.collect(handle, target, noSignal).catch((error: unknown) => error)
    await until('bytes have come', () => existsSync(join(target, 'copy')) || undefined)
    await scene.kubernetes.killApiServer()
    expect(await first).toBeInstanceOf(EnvironmentError)
    await scene.kubernetes.untilReady()
    const second = await until(
      'they are fetched',
      () =>
        scene.trial.collect(handle).catch((error: unknown) => {
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
    await scene.use()
    const handle = await scene.trial.submit(scene.trial.shell('exec sleep 600'))
    await scene.trial.waitForRunning(handle)
    const [first] = await scene.podsOf(handle)
    await scene.core.deleteNamespacedPod({ namespace: scene.namespace, name: first?.metadata?.name ?? '' })
    expect(await untilEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'preempted' })
    const second = await until(
      'Kubernetes has begun another one',
      async () =>
        (await scene.podsOf(handle)).find(
          ({ metadata, status }) =>
            metadata?.uid !== first?.metadata?.uid &&
            status?.initContainerStatuses?.[0]?.state?.running !== undefined,
        ),
      undefined,
      60_000,
    )
    // Time enough for files, if it got any.
    await pause(3000)
    const found = (await scene.podsOf(handle)).find(({ metadata }) => metadata?.uid === second.metadata?.uid)
    expect(found?.status?.phase).toBe('Pending')
    expect(await scene.trial.observe(handle)).toMatchObject({ kind: 'stopped', cause: 'preempted' })
    await releaseAndLook(handle)
  }, 180_000)

  test('a job that is cancelled while its files are brought never runs', async () => {
    await scene.use()
    const handle = await scene.trial.submit(hashing())
    await untilBringing(handle)
    await scene.trial.environment.cancel([handle], noSignal)
    expect(await scene.trial.waitForEnd(handle)).toMatchObject({ kind: 'stopped', cause: 'cancelled' })
    expect((await scene.trial.collect(handle)).collected.files).toEqual([])
    await releaseAndLook(handle)
  }, 180_000)

  test('a job that is released while its files are brought leaves nothing', async () => {
    await scene.use()
    const handle = await scene.trial.submit(hashing())
    await untilBringing(handle)
    await releaseAndLook(handle)
    expect(await scene.trial.observe(handle)).toMatchObject({ kind: 'lost' })
  }, 180_000)
})
