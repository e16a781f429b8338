import type { JobId } from '../../../src/environment/environment.ts'
import { jobIdOf } from './names.ts'
import type { WireJob, WirePod } from '../cluster/wire.ts'

/** Objects of a watch by the job that they belong to, so that nobody has to look through all. */
export class OwnedObjects<T extends WireJob | WirePod> {
  readonly #instance: string
  readonly #byJob = new Map<JobId, Map<string, T>>()

  constructor(instance: string) {
    this.#instance = instance
  }

  of(id: JobId): readonly T[] {
    const objects = this.#byJob.get(id)
    return objects === undefined ? [] : [...objects.values()]
  }

  /** Takes what has changed, and gives it with its jobs. `present` is what is there now, by uid. */
  take(
    changed: readonly T[],
    present: ReadonlyMap<string, T>,
  ): readonly { readonly id: JobId; readonly object: T; readonly isGone: boolean }[] {
    return changed.flatMap((last) => {
      const id = jobIdOf(last, this.#instance)
      if (id === undefined) return []
      const uid = last.metadata?.uid ?? ''
      const object = present.get(uid)
      if (object === undefined) this.#remove(id, uid)
      else this.#add(id, uid, object)
      return [{ id, object: object ?? last, isGone: object === undefined }]
    })
  }

  #add(id: JobId, uid: string, object: T): void {
    const objects = this.#byJob.get(id)
    if (objects === undefined) this.#byJob.set(id, new Map([[uid, object]]))
    else objects.set(uid, object)
  }

  #remove(id: JobId, uid: string): void {
    const objects = this.#byJob.get(id)
    objects?.delete(uid)
    if (objects?.size === 0) this.#byJob.delete(id)
  }
}
