/** Does the work for every item, so many at a time. What fails first is thrown when all that was begun is over. */
export async function eachBounded<Item>(
  items: readonly Item[],
  most: number,
  work: (item: Item) => Promise<unknown>,
): Promise<void> {
  const waiting = items.values()
  let failure: { readonly error: unknown } | undefined
  const walk = async (): Promise<void> => {
    for (const item of waiting) {
      if (failure !== undefined) return
      try {
        await work(item)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, walk))
  if (failure !== undefined) throw failure.error
}
