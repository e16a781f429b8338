import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  presignedUrl,
  type PresignedRequest,
  type StorageKeys,
} from '../../environments/kubernetes/files/presigned-url.ts'
import { until } from '../conformance/until.ts'
import { Enclosure } from './enclosure.ts'
import { claimPorts } from './ports.ts'

/** An object store as S3 clients know it: OpenStack Swift with its `s3api`. */
export interface Swift extends AsyncDisposable {
  readonly url: string
  readonly keys: StorageKeys
  /** A new bucket; gives its address. */
  makeBucket(name: string): Promise<string>
  /** Names of what is in a bucket. */
  list(bucket: string): Promise<readonly string[]>
  stop(): Promise<void>
}

const keys: StorageKeys = { accessKey: 'test:tester', secretKey: 'testing', region: 'us-east-1' }
const kinds = ['account', 'container', 'object'] as const

/** Swift on ports of 127.0.0.1: one copy of everything, in a directory that goes with it. Takes some seconds to start. */
export async function startSwift(): Promise<Swift> {
  const ports = await claimPorts()
  const enclosure = await Enclosure.start()
  const stop = async () => {
    await enclosure.stop()
    await ports.release()
  }
  try {
    const { directory } = enclosure
    const portOf = (kind: string) => ports.first + ['proxy', ...kinds, 'memcached'].indexOf(kind)
    await mkdir(join(directory, 'devices/one'), { recursive: true })
    const write = (name: string, lines: readonly string[]) =>
      writeFile(join(directory, name), `${lines.join('\n')}\n`)
    await write('swift.conf', ['[swift-hash]', 'swift_hash_path_suffix = test'])
    const common = (kind: string) => [
      '[DEFAULT]',
      'bind_ip = 127.0.0.1',
      `bind_port = ${portOf(kind)}`,
      'user = root',
      'workers = 0',
      `swift_dir = ${directory}`,
      `devices = ${directory}/devices`,
      'mount_check = false',
    ]
    for (const kind of kinds) {
      const application = [`[app:${kind}-server]`, `use = egg:swift#${kind}`]
      await write(`${kind}.conf`, [
        ...common(kind),
        '[pipeline:main]',
        `pipeline = ${kind}-server`,
        ...application,
      ])
      const builder = join(directory, `${kind}.builder`)
      const ring = (...words: string[]) => enclosure.run(['swift-ring-builder', builder, ...words])
      await ring('create', '1', '1', '0')
      await ring('add', `r1z1-127.0.0.1:${portOf(kind)}/one`, '1')
      await ring('rebalance')
    }
    const filter = (name: string) => [`[filter:${name}]`, `use = egg:swift#${name}`]
    await write('proxy.conf', [
      ...common('proxy'),
      '[pipeline:main]',
      'pipeline = catch_errors cache s3api tempauth proxy-server',
      '[app:proxy-server]',
      'use = egg:swift#proxy',
      'account_autocreate = true',
      ...filter('catch_errors'),
      '[filter:cache]',
      'use = egg:swift#memcache',
      `memcache_servers = 127.0.0.1:${portOf('memcached')}`,
      ...filter('s3api'),
      ...filter('tempauth'),
      'user_test_tester = testing .admin',
    ])
    const memory = ['-u', 'root', '-l', '127.0.0.1', '-U', '0', '-m', '16']
    await enclosure.launch(['memcached', ...memory, '-p', String(portOf('memcached'))], 'memcached.log')
    for (const kind of [...kinds, 'proxy'])
      await enclosure.launch([`swift-${kind}-server`, join(directory, `${kind}.conf`)], `${kind}.log`)
    const url = `http://127.0.0.1:${portOf('proxy')}`
    const ask = (method: PresignedRequest['method'], path: string) =>
      fetch(presignedUrl({ method, url: `${url}${path}`, expiresSeconds: 60, now: Date.now() }, keys), {
        method,
      })
    let seen: unknown
    const isReady = async () => {
      const answer = await ask('PUT', '/ready').catch((error: unknown) => void (seen = String(error)))
      // A try that failed halfway may have made it.
      if (answer?.ok === true || answer?.status === 409) return true
      if (answer !== undefined) seen = [answer.status, await answer.text()]
      await pause(200)
      return undefined
    }
    await until('Swift takes a bucket', isReady, () => seen, 280_000)
    return {
      url,
      keys,
      async makeBucket(name) {
        const { ok, status } = await ask('PUT', `/${name}`)
        if (!ok) throw new Error(`Swift answered ${status} to a new bucket ${name}`)
        return `${url}/${name}`
      },
      async list(bucket) {
        const text = await (await ask('GET', new URL(bucket).pathname)).text()
        return [...text.matchAll(/<Key>([^<]*)/g)].map(([, name = '']) => name)
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
