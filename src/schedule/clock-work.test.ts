import { afterEach, expect, test, vi } from 'vitest'
import { startClockWork, type ClockTask, type ClockWork } from './clock-work.ts'

let clockWork: ClockWork | undefined
const warnings: string[] = []

async function start(...tasks: readonly ClockTask[]): Promise<ClockWork> {
  clockWork = await startClockWork(tasks, (message) => warnings.push(message))
  return clockWork
}

afterEach(async () => {
  await clockWork?.close()
  warnings.length = 0
})

const patience = { timeout: 10_000, interval: 10 }

test('a task is done again and again', async () => {
  let times = 0
  await start({ name: 'count', everyMs: 20, run: async () => void (times += 1) })
  await vi.waitFor(() => expect(times).toBeGreaterThan(2), patience)
  expect(warnings).toEqual([])
})

test('a task that fails is told of, and done again; others do not suffer', async () => {
  let others = 0
  await start(
    { name: 'broken', everyMs: 20, run: () => Promise.reject(new Error('no luck')) },
    { name: 'whole', everyMs: 20, run: async () => void (others += 1) },
  )
  await vi.waitFor(() => expect(warnings.length).toBeGreaterThan(1), patience)
  await vi.waitFor(() => expect(others).toBeGreaterThan(1), patience)
  expect(warnings[0]).toBe('The task broken failed: Error: no luck')
})

test('a task never runs beside itself, and closing ends it and waits for it', async () => {
  let begun = 0
  let ended = 0
  let others = 0
  const work = await start(
    {
      name: 'long',
      everyMs: 20,
      async run(signal) {
        begun += 1
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        )
        ended += 1
      },
    },
    { name: 'short', everyMs: 20, run: async () => void (others += 1) },
  )
  await vi.waitFor(() => expect(others).toBeGreaterThan(3), patience)
  expect({ begun, ended }).toEqual({ begun: 1, ended: 0 })
  await work.close()
  expect({ begun, ended }).toEqual({ begun: 1, ended: 1 })
})
