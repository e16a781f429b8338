import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Agent, request as send, type Dispatcher } from 'undici'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import { isKey } from '../../../src/environment/job-files/places.ts'
import type { Content } from '../../../src/environment/job-files/scan-tree.ts'
import {
  FileChangedError,
  tarBytes,
  tarLength,
  type TarEntry,
} from '../../../src/environment/job-files/tar-stream.ts'
import { writeFileDurably } from '../../../src/files/durable-file.ts'
import { wholeName } from '../scripts/fetch-script.ts'
import type { KubernetesOptions } from '../options.ts'
import { longestSeconds, presignedUrl, type PresignedRequest, type StorageKeys } from './presigned-url.ts'

export interface ObjectStorageParts {
  /** Of the bucket, or of a directory where plain PUT, GET and DELETE do. */
  readonly url: string
  /** Without, requests go unsigned. */
  readonly keys: StorageKeys | undefined
  readonly instance: string
  /** On the server: which executions have something in the store. */
  readonly directory: string
  readonly now: () => number
}

type OwnerOfStorage = Omit<ObjectStorageParts, 'url' | 'keys'> & {
  readonly options: Pick<KubernetesOptions, 'objectStorage' | 'objectStorageSecret'>
}

/** What smaller contents save would be lost by asking for them. */
export const leastBytes = 2 ** 20
/** The most that one PUT takes, and a little less. */
export const mostBytes = 5 * 2 ** 30 - 2 ** 26

const ownSeconds = 3600
const silenceMs = 120_000
const mostWords = 300

/** The object storage of an environment; undefined where its options name none. */
export function openObjectStorage(
  { options, instance, directory, now }: OwnerOfStorage,
  signal: AbortSignal,
): ObjectStorage | undefined {
  const { objectStorage, objectStorageSecret: secretKey } = options
  if (objectStorage === undefined) return undefined
  const { url, region, accessKey } = objectStorage
  const keys =
    accessKey === undefined || secretKey === undefined ? undefined : { accessKey, secretKey, region }
  return new ObjectStorage({ url, keys, instance, directory: join(directory, 'stored'), now }, signal)
}

/** Contents as archives in an object store, each put there once and deleted with the last execution that uses it. */
export class ObjectStorage {
  readonly #parts: ObjectStorageParts
  readonly #signal: AbortSignal
  readonly #agent = new Agent({ connections: 8, headersTimeout: silenceMs, bodyTimeout: silenceMs })
  /** Hashes by the key of the execution. */
  readonly #users = new Map<string, ReadonlySet<string>>()
  /** What this life of the server knows to be there. */
  readonly #known = new Set<string>()
  /** One thing after the other with each object. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(parts: ObjectStorageParts, signal: AbortSignal) {
    this.#parts = parts
    this.#signal = signal
    mkdirSync(parts.directory, { recursive: true, mode: 0o700 })
    for (const key of readdirSync(parts.directory).filter(isKey))
      this.#users.set(
        key,
        new Set(readFileSync(join(parts.directory, key), 'utf8').split('\n').filter(Boolean)),
      )
  }

  /**
   * Puts a content there for the execution with this key, unless it is, and gives the address that gets it, for so long.
   * Throws EnvironmentError where the store does not do it, and FileChangedError.
   */
  async place(key: string, content: Content, lifeMs: number): Promise<string> {
    const { hash } = content
    await this.#inTurn(hash, async () => {
      await this.#use(key, hash)
      if (this.#known.has(hash)) return
      const entries: readonly TarEntry[] = [...content.entries, { kind: 'text', path: wholeName, text: '' }]
      const bytes = tarLength(entries)
      if ((await this.#lengthOf(hash)) !== bytes) await this.#put(hash, entries, bytes)
      this.#known.add(hash)
    })
    return this.#address('GET', hash, Math.min(Math.ceil(lifeMs / 1000), longestSeconds))
  }

  /** Deletes what only this execution has used. Throws EnvironmentError. */
  async discard(key: string): Promise<void> {
    for (const hash of this.#users.get(key) ?? [])
      await this.#inTurn(hash, async () => {
        if ([...this.#users].some(([other, hashes]) => other !== key && hashes.has(hash))) return
        this.#known.delete(hash)
        await this.#delete(hash)
      })
    this.#users.delete(key)
    rmSync(join(this.#parts.directory, key), { force: true })
  }

  /** Puts something there, looks at it and deletes it. Throws EnvironmentError. */
  async check(): Promise<void> {
    const entries: readonly TarEntry[] = [{ kind: 'text', path: wholeName, text: '' }]
    const bytes = tarLength(entries)
    await this.#put('check', entries, bytes)
    const found = await this.#lengthOf('check')
    await this.#delete('check')
    if (found !== bytes)
      throw new EnvironmentError(
        `${this.#place} has kept ${found ?? 0} bytes of ${bytes} that were put there.`,
      )
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#turns.values())
    await this.#agent.destroy()
  }

  async #use(key: string, hash: string): Promise<void> {
    const used = this.#users.get(key) ?? new Set()
    if (used.has(hash)) return
    const more = new Set([...used, hash])
    this.#users.set(key, more)
    // Before it is there, so that nothing is left that nobody knows of.
    await writeFileDurably(join(this.#parts.directory, key), [...more].join('\n'), 0o600)
  }

  /** Undefined where it is not there; who may not list a bucket is told 403 of that. */
  async #lengthOf(hash: string): Promise<number | undefined> {
    const { statusCode, headers, body } = await this.#ask('HEAD', hash)
    await body.dump()
    if (statusCode === 404 || statusCode === 403) return undefined
    if (statusCode !== 200) throw this.#refused('HEAD', statusCode, '')
    return Number(headers['content-length'])
  }

  async #put(hash: string, entries: readonly TarEntry[], bytes: number): Promise<void> {
    const body = Readable.from(tarBytes(entries), { objectMode: false })
    let failure: unknown
    body.on('error', (error) => (failure = error))
    try {
      const answer = await this.#ask('PUT', hash, {
        body,
        headers: { 'content-length': String(bytes), 'content-type': 'application/x-tar' },
      })
      await this.#expectDone('PUT', answer)
    } catch (error) {
      throw failure instanceof FileChangedError ? failure : error
    } finally {
      body.destroy()
    }
  }

  async #delete(hash: string): Promise<void> {
    const answer = await this.#ask('DELETE', hash)
    if (answer.statusCode === 404) await answer.body.dump()
    else await this.#expectDone('DELETE', answer)
  }

  async #expectDone(method: string, { statusCode, body }: Dispatcher.ResponseData): Promise<void> {
    const said = await body.text()
    if (statusCode < 200 || statusCode > 299) throw this.#refused(method, statusCode, said)
  }

  async #ask(
    method: PresignedRequest['method'],
    hash: string,
    more: { readonly body?: Readable; readonly headers?: Record<string, string> } = {},
  ): Promise<Dispatcher.ResponseData> {
    this.#signal.throwIfAborted()
    const address = this.#address(method, hash, ownSeconds)
    try {
      return await send(address, { method, dispatcher: this.#agent, signal: this.#signal, ...more })
    } catch (cause) {
      this.#signal.throwIfAborted()
      const why = cause instanceof Error ? (cause.message === '' ? cause.name : cause.message) : String(cause)
      throw new EnvironmentError(`${this.#place} cannot be asked (${method}): ${why.slice(0, mostWords)}`, {
        cause,
      })
    }
  }

  #address(method: PresignedRequest['method'], hash: string, expiresSeconds: number): string {
    const { url, keys, instance, now } = this.#parts
    const object = `${url.replace(/\/$/, '')}/molehill-${instance}-${hash}.tar`
    return keys === undefined
      ? object
      : presignedUrl({ method, url: object, expiresSeconds, now: now() }, keys)
  }

  get #place(): string {
    return `The object storage ${this.#parts.url}`
  }

  #refused(method: string, status: number, said: string): EnvironmentError {
    const [, code = ''] = /<Code>([^<]*)/.exec(said) ?? []
    const [, message = ''] = /<Message>([^<]*)/.exec(said) ?? []
    const words = [code, message].filter(Boolean).join(': ').slice(0, mostWords)
    return new EnvironmentError(
      `${this.#place} answers ${status} to ${method}${words && `. It says: ${words}`}`,
    )
  }

  async #inTurn<Result>(hash: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(hash)
    const result = (before ?? Promise.resolve()).then(work, work)
    const turn = result.catch(() => undefined)
    this.#turns.set(hash, turn)
    try {
      return await result
    } finally {
      if (this.#turns.get(hash) === turn) this.#turns.delete(hash)
    }
  }
}
