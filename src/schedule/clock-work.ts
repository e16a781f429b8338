import Bree from 'bree'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Something to be done again and again. */
export interface ClockTask {
  /** Unique; appears in the log. */
  readonly name: string
  readonly everyMs: number
  /** Done in the main thread, never twice at the same time. Aborted when the server stops. */
  readonly run: (signal: AbortSignal) => Promise<void>
}

export interface ClockWork {
  /** Starts nothing more, aborts what is being done and waits for it. May be called again. */
  close(): Promise<void>
}

/** Starts the clock of all tasks; each is due first when its time has passed once. */
export async function startClockWork(
  tasks: readonly ClockTask[],
  warn: (message: string) => void,
): Promise<ClockWork> {
  const stopping = new AbortController()
  const running = new Map<string, Promise<void>>()

  const begin = (name: string): void => {
    const task = tasks.find((each) => each.name === name)
    // A task that takes longer than its interval is not started a second time beside itself.
    if (task === undefined || stopping.signal.aborted || running.has(name)) return
    const done = task
      .run(stopping.signal)
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) warn(`The task ${name} failed: ${String(error)}`)
      })
      .finally(() => running.delete(name))
    running.set(name, done)
  }

  const extension = extname(import.meta.url)
  const path = fileURLToPath(new URL(`./due${extension}`, import.meta.url))
  const bree = new Bree({
    root: false,
    logger: false,
    acceptedExtensions: [extension],
    jobs: tasks.map(({ name, everyMs }) => ({ name, path, interval: everyMs })),
    // A thread that only says one word needs no more.
    worker: { resourceLimits: { maxOldGenerationSizeMb: 32 } },
    workerMessageHandler: ({ name }: { readonly name: string }) => begin(name),
    errorHandler: (error: unknown) => warn(`A thread of the clock failed: ${String(error)}`),
  })
  await bree.start()

  let closing: Promise<void> | undefined
  return {
    close() {
      stopping.abort()
      closing ??= bree.stop().then(async () => void (await Promise.all(running.values())))
      return closing
    },
  }
}
