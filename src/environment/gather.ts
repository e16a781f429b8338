/** How calls are put together. */
export interface GatherOptions {
  /** How long the first one waits for others, in milliseconds. */
  readonly delayMs: number
  readonly mostAtOnce: number
  /** How many gathered calls run at the same time; later ones wait and gather more. */
  readonly mostRunning: number
}

/**
 * Puts calls that are made close together into one: `run` gets the items of all of them, and each caller gets what
 * it gives. Used where one trip to a host can serve many jobs.
 */
export function gather<Item, Result>(
  run: (items: readonly Item[]) => Promise<Result>,
  { delayMs, mostAtOnce, mostRunning }: GatherOptions,
): (item: Item) => Promise<Result> {
  interface Waiting {
    readonly item: Item
    readonly resolve: (result: Result) => void
    readonly reject: (error: unknown) => void
  }
  let waiting: Waiting[] = []
  let running = 0
  let timer: NodeJS.Timeout | undefined

  function schedule(): void {
    if (timer !== undefined || waiting.length === 0 || running >= mostRunning) return
    timer = setTimeout(() => {
      timer = undefined
      const together = waiting.slice(0, mostAtOnce)
      waiting = waiting.slice(mostAtOnce)
      running += 1
      schedule()
      void serve(together)
    }, delayMs)
  }

  async function serve(together: readonly Waiting[]): Promise<void> {
    try {
      const result = await run(together.map(({ item }) => item))
      for (const { resolve } of together) resolve(result)
    } catch (error) {
      for (const { reject } of together) reject(error)
    } finally {
      running -= 1
      schedule()
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      schedule()
    })
}
