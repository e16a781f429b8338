import type { ExecutionSummary } from './contract.ts'

type Labelled = Pick<ExecutionSummary, 'id' | 'owner' | 'labels'>

/** Finds executions by their owner and labels without looking at all of them. */
export class LabelIndex {
  readonly #ids = new Map<string, Set<string>>()

  add(entry: Labelled): void {
    for (const key of keysOf(entry)) {
      const ids = this.#ids.get(key) ?? new Set()
      ids.add(entry.id)
      this.#ids.set(key, ids)
    }
  }

  remove(entry: Labelled): void {
    for (const key of keysOf(entry)) {
      const ids = this.#ids.get(key)
      ids?.delete(entry.id)
      if (ids?.size === 0) this.#ids.delete(key)
    }
  }

  /** Ids that have all of it, in the order in which they were added. At least one thing must be asked for. */
  find(owner: string | undefined, labels: readonly (readonly [string, string])[]): readonly string[] {
    const keys = [...(owner === undefined ? [] : [ownerKey(owner)]), ...labels.map(labelKey)]
    const [smallest = nothing, ...others] = keys
      .map((key) => this.#ids.get(key) ?? nothing)
      .sort((a, b) => a.size - b.size)
    return [...smallest].filter((id) => others.every((ids) => ids.has(id)))
  }
}

const nothing: ReadonlySet<string> = new Set()

function keysOf({ owner, labels }: Labelled): readonly string[] {
  return [ownerKey(owner), ...Object.entries(labels).map(labelKey)]
}

function ownerKey(owner: string): string {
  return JSON.stringify([owner])
}

function labelKey([name, value]: readonly [string, string]): string {
  return JSON.stringify([name, value])
}
