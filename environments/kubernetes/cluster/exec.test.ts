import { createHash, randomBytes } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { until } from '../../../test/conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../../test/daemons/kubernetes.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { ApiError } from './api-errors.ts'
import { openCluster, type Cluster } from './cluster.ts'
import { credentialsFrom } from './credentials.ts'
import { execInPod, type ExecCommand } from './exec.ts'

const megabytes = 50
const never = new AbortController().signal

/** Takes everything and tells its hash. */
function hashing() {
  const hash = createHash('sha256')
  let bytes = 0
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      hash.update(chunk)
      bytes += chunk.length
      done()
    },
  })
  return { sink, bytes: () => bytes, digest: () => hash.digest('hex') }
}

/** What a promise fails with. */
function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

describeWith('kubernetes-node', 'a program in a container', () => {
  let kubernetes: Kubernetes
  let cluster: Cluster
  const pod = 'worker'

  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
    const namespace = await kubernetes.makeNamespace()
    const credentials = credentialsFrom(
      { kind: 'kubeconfig', file: { path: kubernetes.kubeconfig } },
      Date.now,
    )
    cluster = openCluster(credentials, { now: Date.now, namespace })
    await cluster.connection.ask(
      {
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/pods`,
        body: {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: pod },
          spec: {
            restartPolicy: 'Never',
            terminationGracePeriodSeconds: 0,
            containers: [
              { name: 'main', image: kubernetes.image, command: ['sleep', '3600'] },
              { name: 'over', image: kubernetes.image, command: ['true'] },
            ],
          },
        },
      },
      never,
    )
    await until(
      'the pod runs',
      async () => {
        const states = (await cluster.pods.find(pod, never))?.status?.containerStatuses
        const stateOf = (name: string) => states?.find((each) => each.name === name)?.state
        return (stateOf('main')?.running && stateOf('over')?.terminated) ?? undefined
      },
      () => 'not running',
      120_000,
    )
  }, nodeTimeoutMs)
  afterAll(async () => {
    await cluster.close()
    await kubernetes.stop()
  }, 120_000)

  const run = (argv: readonly string[], more: Partial<ExecCommand> = {}, signal = never) =>
    execInPod(cluster, { pod, container: 'main', argv, ...more }, signal)
  const shell = (script: string, more: Partial<ExecCommand> = {}, signal = never) =>
    run(['sh', '-c', script], more, signal)

  it('tells its exit code and what it printed on each stream', async () => {
    expect(await shell('echo out; echo err >&2; exit 7')).toEqual({
      exitCode: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(await run(['printf', '%s|', '', 'a b', '$HOME', "it's ü&=;"])).toMatchObject({
      exitCode: 0,
      stdout: "|a b|$HOME|it's ü&=;|",
    })
    expect(await shell('kill -9 $$')).toMatchObject({ exitCode: 137 })
  })

  it('keeps the end only of a long standard error', async () => {
    const { stderr } = await shell('head -c 300000 /dev/zero | tr "\\0" x >&2; echo end >&2')
    expect(stderr.length).toBe(64 * 1024)
    expect(stderr.endsWith('xxend\n')).toBe(true)
  })

  it('reads a text that it counts itself', async () => {
    const stdin = 'one\ntwo\n'
    expect(await run(['head', '-c', '8'], { stdin })).toMatchObject({ exitCode: 0, stdout: stdin })
  })

  it(`takes ${megabytes} MB and gives them back, byte by byte`, async () => {
    const part = randomBytes(1_000_000)
    const sent = createHash('sha256')
    const stdin = Readable.from(
      (function* () {
        for (let count = 0; count < megabytes; count += 1) {
          part.writeUInt32LE(count)
          const copy = Buffer.from(part)
          sent.update(copy)
          yield copy
        }
      })(),
    )
    const length = megabytes * part.length
    expect(await shell(`head -c ${length} > /tmp/big && sha256sum < /tmp/big`, { stdin })).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^[0-9a-f]{64}/),
    })
    const { sink, bytes, digest } = hashing()
    expect(await run(['cat', '/tmp/big'], { output: sink })).toMatchObject({ exitCode: 0 })
    expect(bytes()).toBe(length)
    expect(digest()).toBe(sent.digest('hex'))
    expect(sink.writableFinished).toBe(true)
  }, 180_000)

  it('waits for an output that is slow, without holding much in memory', async () => {
    const before = process.memoryUsage().arrayBuffers
    let bytes = 0
    let held = 0
    const output = new Writable({
      write(chunk: Buffer, _, done) {
        bytes += chunk.length
        if (bytes > chunk.length) return done()
        // Enough time for all of it to come.
        setTimeout(() => {
          held = process.memoryUsage().arrayBuffers - before
          done()
        }, 3000)
      },
    })
    await run(['head', '-c', '40000000', '/dev/zero'], { output, silenceMs: 2000 })
    expect(bytes).toBe(40_000_000)
    expect(held).toBeLessThan(20_000_000)
  }, 120_000)

  it('fails where its output or its input fails', async () => {
    const output = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) })
    await expect(run(['cat', '/dev/zero'], { output })).rejects.toThrow('disk full')
    const stdin = new Readable({ read: () => stdin.destroy(new Error('cannot be read')) })
    await expect(run(['cat'], { stdin })).rejects.toThrow('cannot be read')
  })

  it('ends although it has not read all of its input, where little is left or it throws the rest away', async () => {
    expect(await shell('head -c 10 > /dev/null; exit 3', { stdin: 'x'.repeat(5000) })).toMatchObject({
      exitCode: 3,
    })
    const stdin = () => Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(65_536)))
    const failing = 'head -c 6553600 | { head -c 10; cat > /dev/null; exit 4; }'
    expect(await shell(failing, { stdin: stdin() })).toMatchObject({ exitCode: 4 })
    // Here the container's runtime may tell no end, or cut: that depends on how much of the input it has taken by then.
    const input = stdin()
    const lost = shell('head -c 10 > /dev/null; echo no space left >&2; exit 3', {
      stdin: input,
      silenceMs: 1500,
    })
    const end = await lost.catch((error: unknown) => error)
    if (end instanceof ApiError) {
      expect(end.status).toBe(0)
      expect(end.message).toMatch(
        /no end of the program there\. Its last words: no space left|cut the connection/,
      )
    } else expect(end).toMatchObject({ exitCode: 3, stderr: 'no space left\n' })
    expect(input.destroyed).toBe(true)
  })

  it('is refused with a sentence where container, pod or program is not there', async () => {
    await expect(execInPod(cluster, { pod, container: 'nope', argv: ['true'] }, never)).rejects.toMatchObject(
      {
        name: 'ApiError',
        status: 400,
        message: expect.stringContaining('container nope is not valid for pod worker'),
      },
    )
    await expect(
      execInPod(cluster, { pod: 'nobody', container: 'main', argv: ['true'] }, never),
    ).rejects.toMatchObject({
      status: 404,
      message: 'pods "nobody" not found',
    })
    await expect(run(['no-such-program'])).rejects.toMatchObject({
      name: 'ApiError',
      message: expect.stringMatching(/In the container main of the pod worker .*executable file not found/),
    })
    await expect(run(['true'], { container: 'over' })).rejects.toMatchObject({
      name: 'ApiError',
      message: expect.stringMatching(/container.*not found|not running/),
    })
  })

  it('that is silent for too long is given up', async () => {
    await expect(run(['sleep', '30'], { silenceMs: 500 })).rejects.toMatchObject({
      status: 0,
      reason: 'TimedOut',
      message: expect.stringContaining('for 0.5 s'),
    })
    // It reads on and on, since its input has no end here.
    await expect(run(['sleep', '30'], { firstMs: 500 })).rejects.toMatchObject({ reason: 'TimedOut' })
    await run(['sh', '-c', 'echo; sleep 2'], { firstMs: 1500 })
    await expect(run(['cat'], { stdin: 'x', silenceMs: 500 })).rejects.toMatchObject({ reason: 'TimedOut' })
  })

  it('is given up when the signal aborts, before and in the middle', async () => {
    const before = AbortSignal.abort(new Error('not at all'))
    const { sink } = hashing()
    await expect(run(['true'], { output: sink }, before)).rejects.toThrow('not at all')
    expect(sink.destroyed).toBe(true)
    const middle = new AbortController()
    const slow = hashing()
    const running = failureOf(run(['cat', '/dev/zero'], { output: slow.sink }, middle.signal))
    await until('some came', () => slow.bytes() > 0 || undefined)
    middle.abort(new Error('enough'))
    expect(await running).toEqual(new Error('enough'))
    expect(slow.sink.destroyed).toBe(true)
  })

  it('fails, and is never taken for ended, when the API server is killed in the middle', async () => {
    const { sink, bytes } = hashing()
    const cut = failureOf(run(['cat', '/dev/zero'], { output: sink }))
    const idle = failureOf(run(['sleep', '60']))
    await until('some came', () => bytes() > 1_000_000 || undefined)
    await kubernetes.killApiServer()
    expect(await cut).toMatchObject({
      name: 'ApiError',
      status: 0,
      message: expect.stringContaining('cut the connection'),
    })
    expect(await idle).toMatchObject({ name: 'ApiError', status: 0 })
    expect(sink.writableFinished).toBe(false)
    await kubernetes.untilReady()
    expect(await shell('echo again')).toMatchObject({ stdout: 'again\n' })
  }, 240_000)
})
