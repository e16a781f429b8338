import { z } from 'zod'
import { ApiError, errorOfStatus, statusShape } from './api-errors.ts'
import type { Connection } from './connection.ts'
import { readLines } from './read-lines.ts'
import type { Listed, WatchNews, WireObject } from './wire.ts'

/** Where the objects of one kind are. */
export type ResourcePath = (signal: AbortSignal) => Promise<string>

export interface Selector {
  /** `molehill/instance=a` */
  readonly labelSelector?: string
  /** `involvedObject.name=a` */
  readonly fieldSelector?: string
}

export interface DeleteOptions {
  /** `Background` takes what the object owns along. */
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
  readonly gracePeriodSeconds?: number
  /** Deletes no other object that has taken the name since. */
  readonly uid?: string
}

/** The objects of one kind in one namespace. */
export interface Collection<T extends WireObject, New> {
  create(object: New, signal: AbortSignal): Promise<T>
  /** Undefined where there is none of this name. */
  find(name: string, signal: AbortSignal): Promise<T | undefined>
  /** All of them, asked for in pages. */
  list(selector: Selector, signal: AbortSignal): Promise<Listed<T>>
  /** A JSON merge patch (RFC 7386): null removes a field. Undefined where there is none of this name. */
  patch(name: string, patch: object, signal: AbortSignal): Promise<T | undefined>
  /** False where there was none of this name. */
  delete(name: string, options: DeleteOptions, signal: AbortSignal): Promise<boolean>
  /**
   * What changes after `resourceVersion`, as it comes, many at a time; first an empty list when the server has begun.
   * Ends when the server ends it. Throws ApiError: with 410 where the server has forgotten the version.
   */
  watch(
    selector: Selector,
    resourceVersion: string,
    silenceMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly WatchNews<T>[]>
}

const objectShape = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
  }),
})
const listShape = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string(), continue: z.string().optional() }),
  // Empty lists are null in some answers of Go programs.
  items: z.array(z.unknown()).nullable(),
})
const newsShape = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['ADDED', 'MODIFIED', 'DELETED']), object: z.unknown() }),
  z.object({
    type: z.literal('BOOKMARK'),
    object: z.looseObject({ metadata: z.looseObject({ resourceVersion: z.string() }) }),
  }),
  z.object({ type: z.literal('ERROR'), object: statusShape }),
])

const pageSize = 500
/** Longer watches are begun anew by us, so that a silent end is found out sooner or later. */
const watchSeconds = 300

/** Objects of one kind by plain calls: see the API's conventions, kubernetes.io/docs/reference/using-api. */
export function collection<T extends WireObject, New>(
  connection: Connection,
  resource: ResourcePath,
): Collection<T, New> {
  const one = async (name: string, signal: AbortSignal): Promise<string> =>
    `${await resource(signal)}/${encodeURIComponent(name)}`

  async function list(selector: Selector, signal: AbortSignal): Promise<Listed<T>> {
    const path = await resource(signal)
    let items: T[] = []
    let next: string | undefined
    let restarts = 0
    for (;;) {
      const query = { ...selector, limit: pageSize, continue: next }
      try {
        const answer = read(
          listShape,
          await connection.ask({ method: 'GET', path, query }, signal),
          connection,
        )
        for (const item of answer.items ?? [])
          items.push(slim(read(objectShape, item, connection)) as unknown as T)
        next = answer.metadata.continue
        if (next === undefined || next === '')
          return { items, resourceVersion: answer.metadata.resourceVersion }
      } catch (error) {
        // The token for the next page is too old: the list begins again.
        if (!(error instanceof ApiError) || error.status !== 410 || next === undefined || restarts > 2)
          throw error
        restarts += 1
        items = []
        next = undefined
      }
    }
  }

  async function* watch(
    selector: Selector,
    resourceVersion: string,
    silenceMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly WatchNews<T>[]> {
    const query = {
      ...selector,
      watch: true,
      resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: watchSeconds,
    }
    const body = await connection.open(
      { method: 'GET', path: await resource(signal), query },
      silenceMs,
      signal,
    )
    try {
      yield []
      for await (const lines of readLines(body)) yield lines.map((line) => newsIn(line, connection))
    } catch (error) {
      throw connection.explain(error, signal)
    } finally {
      body.destroy()
    }
    signal.throwIfAborted()
  }

  function newsIn(line: string, connection: Connection): WatchNews<T> {
    let told: unknown
    try {
      told = JSON.parse(line)
    } catch {
      throw unreadable(connection, line)
    }
    const news = read(newsShape, told, connection)
    if (news.type === 'ERROR') throw errorOfStatus(news.object)
    if (news.type === 'BOOKMARK')
      return { kind: 'bookmark', resourceVersion: news.object.metadata.resourceVersion }
    const object = slim(read(objectShape, news.object, connection)) as unknown as T
    return { kind: 'object', change: news.type, object }
  }

  const object = (answer: unknown): T => slim(read(objectShape, answer, connection)) as unknown as T

  return {
    async create(body, signal) {
      return object(await connection.ask({ method: 'POST', path: await resource(signal), body }, signal))
    },
    async find(name, signal) {
      const path = await one(name, signal)
      return orAbsent(async () => object(await connection.ask({ method: 'GET', path }, signal)))
    },
    list,
    async patch(name, body, signal) {
      const path = await one(name, signal)
      const contentType = 'application/merge-patch+json'
      return orAbsent(async () =>
        object(await connection.ask({ method: 'PATCH', path, body, contentType }, signal)),
      )
    },
    async delete(name, { propagationPolicy, gracePeriodSeconds, uid }, signal) {
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy,
        gracePeriodSeconds,
        ...(uid !== undefined && { preconditions: { uid } }),
      }
      const path = await one(name, signal)
      const answer = await orAbsent(() => connection.ask({ method: 'DELETE', path, body }, signal))
      return answer !== undefined
    },
    watch,
  }
}

async function orAbsent<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    // Where the namespace or the kind is missing nothing of this name is there either.
    if (error instanceof ApiError && error.status === 404 && error.reason === 'NotFound') return undefined
    throw error
  }
}

/** Who set which field when is half of many objects, and nothing reads it. */
function slim(object: z.output<typeof objectShape>): z.output<typeof objectShape> {
  delete object.metadata['managedFields']
  return object
}

function read<Shape extends z.ZodType>(shape: Shape, told: unknown, connection: Connection): z.output<Shape> {
  const read = shape.safeParse(told)
  if (read.success) return read.data
  throw unreadable(connection, JSON.stringify(told))
}

function unreadable({ address }: Connection, text: string): ApiError {
  return new ApiError({
    status: 0,
    reason: 'Unreadable',
    message: `${address} answered what no API server answers: ${text.slice(0, 200)}`,
  })
}
