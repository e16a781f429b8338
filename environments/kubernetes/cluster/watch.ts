import { ApiError } from './api-errors.ts'
import { backOffMs, type Clock } from './clock.ts'
import type { Collection, Selector } from './collection.ts'
import { limited } from './limited.ts'
import type { Listed, WatchNews, WireObject } from './wire.ts'

export interface WatchOptions<T extends WireObject> {
  readonly collection: Pick<Collection<T, never>, 'list' | 'watch'>
  readonly selector: Selector
  /** Gets what is new, has changed or is gone, the latter as it was last. What it throws goes to `warn`. */
  readonly changed: (objects: readonly T[]) => void
  readonly warn: (message: string) => void
  readonly clock: Clock
  /** Everything is listed again so often, whatever the watch says. Default: 60 s. */
  readonly reconcileMs?: number
  /** A watch that says nothing for so long is begun anew. Default: 30 s. */
  readonly silenceMs?: number
}

export interface Watched<T> {
  /** What is there, by uid; as it was last seen while the server cannot be asked. */
  readonly objects: ReadonlyMap<string, T>
  /** Whether `objects` has ever been filled, and why it may be old now. */
  health(): WatchHealth
  /** Resolves when the first list is there, or the watch has ended. */
  readonly listed: Promise<void>
  /** Resolves when all is over after the signal's abort. Never rejects. */
  readonly ended: Promise<void>
}

export interface WatchHealth {
  readonly isListed: boolean
  /** When the server last gave a sign, in ms since 1970. */
  readonly lastSignAtMs: number | undefined
  /** Absent while all is well. */
  readonly error: Error | undefined
}

/**
 * Keeps a copy of the objects that a selector chooses, by a list and then a watch from its version on. No change is
 * lost: what happened while the connection was cut comes later, or is found out by comparing with a new list. Goes on
 * until the signal aborts, whatever fails.
 */
export function watchObjects<T extends WireObject>(
  options: WatchOptions<T>,
  signal: AbortSignal,
): Watched<T> {
  const { collection, selector, clock, reconcileMs = 60_000, silenceMs = 30_000 } = options
  const objects = new Map<string, T>()
  const listed = Promise.withResolvers<void>()
  let isListed = false
  let lastSignAtMs: number | undefined
  let error: Error | undefined
  /** Where to go on; undefined where only a list can tell. */
  let version: string | undefined
  let listedAtMs = 0
  let failures = 0

  function sign(): void {
    lastSignAtMs = clock.now()
    error = undefined
  }

  function tell(changes: readonly T[]): void {
    if (changes.length === 0) return
    try {
      options.changed(changes)
    } catch (thrown) {
      options.warn(`A change of ${changes.length} objects could not be taken: ${String(thrown)}`)
    }
  }

  function compare({ items, resourceVersion }: Listed<T>): void {
    const changes: T[] = []
    const present = new Set<string>()
    for (const object of items) {
      const uid = object.metadata?.uid ?? ''
      present.add(uid)
      const before = objects.get(uid)
      if (before?.metadata?.resourceVersion === object.metadata?.resourceVersion && before !== undefined)
        continue
      objects.set(uid, object)
      changes.push(object)
    }
    for (const [uid, object] of objects)
      if (!present.has(uid)) {
        objects.delete(uid)
        changes.push(object)
      }
    version = resourceVersion
    tell(changes)
  }

  function take(news: readonly WatchNews<T>[]): void {
    const changes: T[] = []
    for (const each of news) {
      if (each.kind === 'bookmark') {
        version = each.resourceVersion
        continue
      }
      const { uid = '', resourceVersion } = each.object.metadata ?? {}
      version = resourceVersion ?? version
      if (each.change === 'DELETED') objects.delete(uid)
      else objects.set(uid, each.object)
      changes.push(each.object)
    }
    tell(changes)
  }

  async function list(): Promise<void> {
    compare(await collection.list(selector, signal))
    listedAtMs = clock.now()
    sign()
    isListed = true
    listed.resolve()
  }

  /** One watch until it ends, is silent, or a list is due. Gives whether it was good for anything. */
  async function follow(from: string): Promise<boolean> {
    const beganAtMs = clock.now()
    const due = limited(signal, Math.max(1, listedAtMs + reconcileMs - beganAtMs))
    let isOpen = false
    let hasNews = false
    const wasGood = (): boolean => hasNews || clock.now() - beganAtMs >= backOffMs(1)
    try {
      for await (const news of collection.watch(selector, from, silenceMs, due.signal)) {
        isOpen = true
        hasNews ||= news.length > 0
        sign()
        take(news)
      }
      return wasGood()
    } catch (thrown) {
      if (due.isOver()) return true
      // Silence is usual where nothing happens.
      if (isOpen && thrown instanceof ApiError && thrown.reason === 'TimedOut') return true
      if (hasNews) failures = 0
      throw thrown
    } finally {
      due.done()
    }
  }

  async function step(): Promise<void> {
    try {
      if (version === undefined || clock.now() - listedAtMs >= reconcileMs) await list()
      failures = (await follow(version ?? '')) ? 0 : failures + 1
    } catch (thrown) {
      if (signal.aborted) return
      failures += 1
      if (isForgotten(thrown)) {
        version = undefined
        // The first time there is nothing to wait for.
        if (failures === 1) return
      } else error = thrown instanceof Error ? thrown : new Error(String(thrown))
      await clock.wait(Math.max(backOffMs(failures), retryAfterMs(thrown)), signal)
      return
    }
    // A server that ends every watch at once is not asked without a pause.
    if (failures > 0 && !signal.aborted) await clock.wait(backOffMs(failures), signal)
  }

  async function run(): Promise<void> {
    // What step throws is the abort of a wait.
    while (!signal.aborted) await step().catch(() => undefined)
    listed.resolve()
  }

  return {
    objects,
    health: () => ({ isListed, lastSignAtMs, error }),
    listed: listed.promise,
    ended: run(),
  }
}

/** However long a server asks to be left alone. */
const mostRetryMs = 300_000

/** The server keeps changes for a few minutes only. */
function isForgotten(thrown: unknown): boolean {
  return thrown instanceof ApiError && thrown.status === 410
}

function retryAfterMs(thrown: unknown): number {
  return thrown instanceof ApiError ? Math.min(thrown.retryAfterMs ?? 0, mostRetryMs) : 0
}
