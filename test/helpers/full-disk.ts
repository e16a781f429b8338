import { DatabaseWriter } from '../../src/store/database.ts'

/** A writer whose disk can be full: then each change is refused as SQLite refuses it. */
export class FullDisk extends DatabaseWriter {
  isFull = false
  readonly #refused = Promise.withResolvers<void>()

  /** Resolves when a change was refused for the first time. */
  get refused(): Promise<void> {
    return this.#refused.promise
  }

  override async ask(request: Parameters<DatabaseWriter['ask']>[0]): ReturnType<DatabaseWriter['ask']> {
    if (!this.isFull || request.kind !== 'write') return super.ask(request)
    this.#refused.resolve()
    return { request: 0, kind: 'failed', message: 'database or disk is full', isOutOfSpace: true }
  }
}
