import { describe, expect, it, onTestFinished } from 'vitest'
import { until } from '../../../test/conformance/until.ts'
import { ApiError } from './api-errors.ts'
import type { Clock } from './clock.ts'
import type { Collection } from './collection.ts'
import { watchObjects, type WatchOptions, type Watched } from './watch.ts'
import type { Listed, WatchNews, WireObject } from './wire.ts'

type Source = Pick<Collection<WireObject, never>, 'list' | 'watch'>
type News = readonly WatchNews<WireObject>[]

const thing = (uid: string, resourceVersion: string): WireObject => ({ metadata: { uid, resourceVersion } })
const news = (change: 'ADDED' | 'MODIFIED' | 'DELETED', uid: string, resourceVersion: string) =>
  ({ kind: 'object', change, object: thing(uid, resourceVersion) }) as const

function gone(): ApiError {
  return new ApiError({ status: 410, reason: 'Expired', message: 'too old resource version' })
}

/** Never ends by itself. */
function silence(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

interface Script {
  readonly lists: (Listed<WireObject> | Error)[]
  /** What each watch says in turn; then it ends, or fails. The last one is silent. */
  readonly watches: (readonly News[] | Error)[]
}

/** A watch on a server that does as the script says; waits take no time and are written down. */
function play({ lists, watches }: Script, more: Partial<WatchOptions<WireObject>> = {}) {
  const stop = new AbortController()
  const told: string[] = []
  const waits: number[] = []
  const versions: string[] = []
  const warnings: string[] = []
  let listings = 0
  const source: Source = {
    list: async () => {
      listings += 1
      const next = lists.length > 1 ? lists.shift() : lists[0]
      if (next instanceof Error) throw next
      return next!
    },
    async *watch(_, resourceVersion, _silenceMs, signal) {
      versions.push(resourceVersion)
      const next = watches.shift()
      if (next === undefined) return await silence(signal)
      if (next instanceof Error) throw next
      yield []
      yield* next
    },
  }
  const clock: Clock = {
    now: () => performance.now(),
    wait: async (ms, signal) => {
      waits.push(ms)
      signal.throwIfAborted()
    },
  }
  const watched: Watched<WireObject> = watchObjects(
    {
      collection: source,
      selector: {},
      changed: (objects) => told.push(objects.map(({ metadata }) => metadata?.uid).join()),
      warn: (message) => warnings.push(message),
      clock,
      ...more,
    },
    stop.signal,
  )
  onTestFinished(async () => {
    stop.abort()
    await watched.ended
  })
  const untilSilent = () =>
    until(
      'all watches were played',
      () => (watches.length === 0 && versions.length) || undefined,
      () => versions,
    )
  return { watched, told, waits, versions, warnings, stop, untilSilent, listings: () => listings }
}

const empty: Listed<WireObject> = { items: [], resourceVersion: '1' }

describe('a watch', () => {
  it('tells of what is listed, then of what comes, and keeps what is there', async () => {
    const { watched, told, versions, untilSilent } = play({
      lists: [{ items: [thing('a', '3'), thing('b', '4')], resourceVersion: '5' }],
      watches: [[[news('ADDED', 'c', '6'), news('DELETED', 'a', '7')], [news('MODIFIED', 'b', '8')]], []],
    })
    await untilSilent()
    expect(told).toEqual(['a,b', 'c,a', 'b'])
    expect([...watched.objects.keys()].sort()).toEqual(['b', 'c'])
    expect(watched.objects.get('b')).toEqual(thing('b', '8'))
    expect(versions[0]).toBe('5')
    expect(versions[1]).toBe('8')
    expect(watched.health()).toMatchObject({ isListed: true, error: undefined })
  })

  it('goes on from the last bookmark', async () => {
    const { versions, untilSilent } = play({
      lists: [empty],
      watches: [[[{ kind: 'bookmark', resourceVersion: '90' }]]],
    })
    await untilSilent()
    await until('it watches again', () => versions.length > 1 || undefined)
    expect(versions).toEqual(['1', '90'])
  })

  it('lists again when its version is forgotten, and tells what has changed or gone meanwhile', async () => {
    const { watched, told, waits, untilSilent } = play({
      lists: [
        { items: [thing('a', '1'), thing('b', '2'), thing('c', '3')], resourceVersion: '3' },
        { items: [thing('a', '1'), thing('b', '7'), thing('d', '8')], resourceVersion: '9' },
      ],
      watches: [gone(), []],
    })
    await untilSilent()
    expect(told).toEqual(['a,b,c', 'b,d,c'])
    expect([...watched.objects.keys()]).toEqual(['a', 'b', 'd'])
    expect(waits.length).toBeLessThanOrEqual(1)
  })

  it('waits longer and longer while the server cannot be asked, and tells why', async () => {
    const down = new ApiError({ status: 0, reason: 'Unreachable', message: 'takes no connections' })
    const { watched, waits, untilSilent } = play({
      lists: [down, down, empty],
      watches: [down, down, down, down, down, down],
    })
    await until('the error is told', () => watched.health().error ?? undefined)
    await untilSilent()
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    expect(watched.health().error).toBe(down)
  })

  it('does not ask without a pause where every watch ends at once or forgets at once', async () => {
    const ends = play({ lists: [empty], watches: [[], [], []] })
    await ends.untilSilent()
    expect(ends.waits.slice(0, 3)).toEqual([1000, 2000, 4000])
    const forgets = play({ lists: [empty], watches: [gone(), gone(), gone()] })
    await forgets.untilSilent()
    expect(forgets.waits.slice(0, 2)).toEqual([2000, 4000])
  })

  it('waits as long as the server asks to', async () => {
    const busy = new ApiError({ status: 429, reason: 'TooManyRequests', message: 'busy', retryAfterMs: 7000 })
    const { waits, untilSilent } = play({ lists: [empty], watches: [busy] })
    await untilSilent()
    await until('it has waited', () => waits.length > 0 || undefined)
    expect(waits[0]).toBe(7000)
  })

  it('goes on when the one who is told throws, and says so', async () => {
    const { watched, warnings, untilSilent } = play(
      { lists: [{ items: [thing('a', '1')], resourceVersion: '1' }], watches: [[[news('ADDED', 'b', '2')]]] },
      {
        changed: () => {
          throw new Error('not now')
        },
      },
    )
    await untilSilent()
    await until('both are there', () => watched.objects.size === 2 || undefined)
    expect(warnings).toEqual(Array(2).fill('A change of 1 objects could not be taken: Error: not now'))
  })

  it('lists again from time to time, whatever the watch says', async () => {
    const { watched, told, listings } = play(
      {
        lists: [empty, { items: [thing('missed', '2')], resourceVersion: '2' }],
        watches: [],
      },
      { reconcileMs: 20 },
    )
    await until('it is found', () => watched.objects.has('missed') || undefined)
    expect(told).toEqual(['missed'])
    await until('it is listed again and again', () => listings() > 4 || undefined)
    expect(watched.health().error).toBeUndefined()
  })

  it('ends when it is aborted, also before anything was listed', async () => {
    const { watched, stop } = play({ lists: [empty], watches: [] })
    await watched.listed
    stop.abort()
    await watched.ended
    const never = play(
      { lists: [new Error('no')], watches: [] },
      {
        clock: { now: () => 0, wait: (_, signal) => silence(signal) },
      },
    )
    never.stop.abort()
    await never.watched.listed
    await never.watched.ended
    expect(never.watched.health().isListed).toBe(false)
  })
})
