import { connect, createServer, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { until } from '../../test/conformance/until.ts'
import { nodeTimeoutMs, startKubernetes, type Kubernetes } from '../../test/daemons/kubernetes.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { ApiError } from './cluster/api-errors.ts'
import type { Clock } from './cluster/clock.ts'
import { openCluster, type Cluster } from './cluster/cluster.ts'
import { configMapsOf } from './cluster/config-maps.fixtures.ts'
import { credentialsFrom } from './cluster/credentials.ts'
import { execInPod } from './cluster/exec.ts'
import { readPodLog, type LogChoice } from './cluster/pod-log.ts'
import { watchObjects } from './cluster/watch.ts'

const never = new AbortController().signal
/** Waits are short, so that much happens in little time. */
const clock: Clock = { now: Date.now, wait: (ms, signal) => pause(ms / 20, undefined, { signal }) }

/** What was written. */
function memory() {
  const chunks: Buffer[] = []
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { sink, text: () => Buffer.concat(chunks).toString('utf8') }
}

/** Cuts each connection to the port after so many bytes of the server's, in turn; every other one with a reset. */
async function cuttingProxy(port: number, cuts: readonly number[]) {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    const number = connections++
    let left = cuts[number % cuts.length] ?? 0
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far)
    far.on('data', (chunk: Buffer) => {
      if (chunk.length <= left) {
        left -= chunk.length
        if (!near.write(chunk)) {
          far.pause()
          near.once('drain', () => far.resume())
        }
        return
      }
      near.write(chunk.subarray(0, left), () => {
        if (number % 2 === 0) near.destroy()
        else near.resetAndDestroy()
      })
      far.destroy()
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' ? address?.port : undefined,
    connections: () => connections,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

describeWith('kubernetes-node', 'a stream of a cluster', () => {
  let kubernetes: Kubernetes
  let namespace: string
  let cluster: Cluster

  beforeAll(async () => {
    kubernetes = await startKubernetes({ node: true })
    namespace = await kubernetes.makeNamespace()
    cluster = open(kubernetes.url)
  }, nodeTimeoutMs)
  afterAll(async () => {
    await cluster.close()
    await kubernetes.stop()
  }, 120_000)

  function open(url: string): Cluster {
    const { token, certificateAuthority } = kubernetes
    const credentials = credentialsFrom({ kind: 'token', url, token, certificateAuthority }, Date.now)
    return openCluster(credentials, { now: Date.now, namespace })
  }

  /** Starts a pod with one container, `main`. */
  async function start(pod: string, script: string): Promise<void> {
    await cluster.pods.delete(pod, { gracePeriodSeconds: 0 }, never)
    await until(`${pod} is free`, async () => ((await phaseOf(pod)) === undefined ? true : undefined))
    const body = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: pod, labels: { pod: 'yes' } },
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'main', image: kubernetes.image, command: ['sh', '-c', script] }],
      },
    }
    await cluster.connection.ask(
      { method: 'POST', path: `/api/v1/namespaces/${namespace}/pods`, body },
      never,
    )
  }

  const phaseOf = async (pod: string) => (await cluster.pods.find(pod, never))?.status?.phase
  const untilPhase = (pod: string, phase: string) =>
    until(
      `${pod} is ${phase}`,
      async () => ((await phaseOf(pod)) === phase ? true : undefined),
      () => phase,
      120_000,
    )

  async function readLog(cluster: Cluster, choice: Omit<LogChoice, 'container'>): Promise<string> {
    return text(readPodLog(cluster, { container: 'main', ...choice }, never))
  }

  const counted = (lines: number) => Array.from({ length: lines }, (_, index) => `line ${index}\n`).join('')

  it('gives a log that is there, or a part of it, and says why there is none', async () => {
    await start('talker', 'i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; printf end')
    await untilPhase('talker', 'Succeeded')
    const read = (choice: Omit<LogChoice, 'container' | 'pod'>) =>
      readLog(cluster, { pod: 'talker', ...choice })
    const whole = `${counted(5000)}end`
    expect(await read({})).toBe(whole)
    expect(await read({ limitBytes: 100 })).toBe(whole.slice(0, 100))
    expect(await read({ tailLines: 2 })).toBe('line 4999\nend')
    expect(await read({ sinceTime: '2100-01-01T00:00:00Z' })).toBe('')
    const missing = readLog(cluster, { pod: 'nobody' })
    await expect(missing).rejects.toMatchObject({ status: 404, message: 'pods "nobody" not found' })
  })

  it('gives lines that are longer than what a runtime keeps in one piece', async () => {
    await start('long', 'head -c 100000 /dev/zero | tr "\\0" x; echo; echo after')
    await untilPhase('long', 'Succeeded')
    expect(await readLog(cluster, { pod: 'long' })).toBe(`${'x'.repeat(100_000)}\nafter\n`)
  })

  it('ends in the middle of a log when it aborts', async () => {
    await start('waits', 'echo here; sleep 3600')
    await untilPhase('waits', 'Running')
    const stop = new AbortController()
    const choice = { pod: 'waits', container: 'main' }
    const read = async () => {
      for await (const _ of readPodLog(cluster, choice, stop.signal)) stop.abort(new Error('enough'))
    }
    const aborted = async () => {
      // Nothing may have been printed yet.
      while (!stop.signal.aborted) await read()
    }
    await expect(aborted()).rejects.toThrow('enough')
  })

  it('that is cut anywhere is an error or begins anew, and nothing is lost, told twice or left behind', async () => {
    const mark = Date.now().toString(36)
    const cuts = [0, 1, 7, 200, 1000, 1500, 1700, 1900, 2100, 2500, 3000, 4000, 6000, 10_000, 30_000, 100_000]
    // With an odd number every place is cut in both ways.
    const proxy = await cuttingProxy(Number(new URL(kubernetes.url).port), [...cuts, 300_000])
    onTestFinished(() => proxy.close())
    const throughProxy = open(`https://127.0.0.1:${proxy.port}`)
    onTestFinished(() => throughProxy.close())
    await start(`lined-${mark}`, 'i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done')
    await start(`worker-${mark}`, 'sleep 3600')
    await untilPhase(`worker-${mark}`, 'Running')

    const stop = new AbortController()
    const watched = watchObjects(
      {
        collection: configMapsOf(throughProxy),
        selector: { labelSelector: `cut=${mark}` },
        changed: () => undefined,
        warn: (message) => expect.unreachable(message),
        clock,
        reconcileMs: 600_000,
      },
      stop.signal,
    )
    await untilPhase(`lined-${mark}`, 'Succeeded')
    const outcomes = { whole: 0, cut: 0 }
    async function log(): Promise<void> {
      try {
        expect(await readLog(throughProxy, { pod: `lined-${mark}` })).toBe(counted(4000))
        outcomes.whole += 1
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError)
        outcomes.cut += 1
      }
    }
    const length = 60_000
    async function exec(): Promise<void> {
      const { sink, text } = memory()
      const stdin = 'y'.repeat(length)
      const argv = ['sh', '-c', `head -c ${length}; echo end >&2`]
      try {
        const result = await execInPod(
          throughProxy,
          { pod: `worker-${mark}`, container: 'main', argv, stdin, output: sink, silenceMs: 5000 },
          never,
        )
        expect(result).toEqual({ exitCode: 0, stdout: '', stderr: 'end\n' })
        expect(text()).toBe(stdin)
        outcomes.whole += 1
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError)
        expect((error as ApiError).status).toBe(0)
        expect(sink.writableFinished).toBe(false)
        outcomes.cut += 1
      }
    }
    const execs = Array.from({ length: 4 }, async () => {
      for (let count = 0; count < 15; count += 1) {
        await exec()
        await log()
      }
    })
    const names = Array.from({ length: 40 }, (_, index) => `cut-${mark}-${index}`)
    for (const name of names) {
      const labels = { cut: mark }
      await configMapsOf(cluster).create(
        { metadata: { name, labels }, data: { text: 'z'.repeat(2000) } },
        never,
      )
      await pause(20)
    }
    await configMapsOf(cluster).delete(`cut-${mark}-0`, {}, never)
    await Promise.all(execs)
    expect(outcomes.whole + outcomes.cut).toBe(120)
    expect(outcomes.cut).toBeGreaterThan(20)
    expect(outcomes.whole).toBeGreaterThan(0)
    const seen = () => new Set([...watched.objects.values()].map(({ metadata }) => metadata?.name))
    const wanted = new Set(names.slice(1))
    await until(
      'the watch has seen everything',
      () => ([...wanted].every((name) => seen().has(name)) && seen().size === wanted.size ? true : undefined),
      () => [watched.health(), seen().size],
      90_000,
    )
    stop.abort()
    await watched.ended
    expect(proxy.connections()).toBeGreaterThan(62)
  }, 300_000)
})
