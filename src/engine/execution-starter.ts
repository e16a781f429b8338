import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { removeTree } from '../files/remove-tree.ts'
import { toProblem } from '../problem.ts'
import { snapshotModules } from '../script/snapshot.ts'
import type { Plan } from '../workflow/plan.ts'
import type { ActiveExecutions } from './active-executions.ts'
import type { StartRequest } from './contract.ts'
import { describeWaiting } from './describe-waiting.ts'
import type { EngineParts } from './engine-parts.ts'
import { entryFacts, ExecutionIndex, summarize, type IndexEntry } from './execution-index.ts'
import { withInputs } from './given-inputs.ts'
import { prepareExecution, type PreparedExecution } from './prepare-execution.ts'
import { StartKeys } from './start-keys.ts'
import type { StartQueue } from './start-queue.ts'
import { openJournal, syncDirectories } from './stored-journal.ts'

/** Makes executions of requests: all that comes before a run begins or waits for its turn. */
export class ExecutionStarter {
  readonly #parts: EngineParts
  readonly #queue: StartQueue
  readonly #active: ActiveExecutions
  readonly #startKeys: StartKeys

  constructor(parts: EngineParts, queue: StartQueue, active: ActiveExecutions) {
    this.#parts = parts
    this.#queue = queue
    this.#active = active
    this.#startKeys = new StartKeys(parts.index, parts.settings.now)
  }

  /** Resolves to the id, once the execution would survive a crash. Throws Problem. */
  async start(request: StartRequest): Promise<string> {
    const own = ofOwner(request)
    return this.#startKeys.once(own.idempotency, async () => this.#startNew(own))
  }

  /** The plan that a request would bring. Throws Problem, and keeps nothing. */
  async validate(request: StartRequest): Promise<Plan> {
    const directory = join(this.#parts.directory, `validation-${randomUUID()}`)
    try {
      const { evaluation, workDirectory } = await this.#prepare(request, directory)
      const { plan } = evaluation
      return request.inputs === undefined ? plan : await withInputs(plan, request.inputs, workDirectory)
    } catch (error) {
      throw toProblem(error)
    } finally {
      await removeTree(directory)
    }
  }

  async #startNew(request: StartRequest): Promise<string> {
    const { settings, index, writer } = this.#parts
    const id = randomUUID()
    const directory = join(this.#parts.directory, id)
    this.#queue.reserve()
    let withdraw: (() => void) | undefined
    try {
      await settings.checkDisk?.()
      const { evaluation, workDirectory } = await this.#prepare(request, directory)
      const plan = await withInputs(evaluation.plan, request.inputs, workDirectory)
      withdraw = this.#active.announce(plan)
      await snapshotModules(evaluation, workDirectory, join(directory, 'modules'))
      const entry: IndexEntry = {
        id,
        owner: request.owner ?? '',
        labels: request.labels ?? {},
        name: plan.name,
        script: plan.script,
        state: 'running',
        isCancelled: false,
        startedAt: settings.now(),
        endedAt: null,
        directory: 'directory' in request ? request.directory : null,
      }
      const journal = await openJournal(writer, directory)
      journal.write([['setFact', 'plan', JSON.stringify(plan)], ...entryFacts(entry)])
      await journal.flushed()
      await syncDirectories(directory, this.#parts.directory)
      const { idempotency } = request
      const remembered =
        idempotency === undefined ? [] : ExecutionIndex.rememberStart(idempotency, id, entry.startedAt)
      if (!this.#queue.tryRun(id)) {
        await journal.close()
        await index.put(entry, undefined, remembered)
        this.#queue.wait(describeWaiting(summarize(entry), plan))
        return id
      }
      const run = await this.#active.open(entry, plan, journal)
      await index.put(entry, undefined, remembered)
      this.#active.begin(run)
      return id
    } catch (error) {
      this.#queue.left(id)
      await removeTree(directory)
      throw toProblem(error)
    } finally {
      withdraw?.()
      this.#queue.release()
    }
  }

  async #prepare(request: StartRequest, directory: string): Promise<PreparedExecution> {
    const prepared = await prepareExecution(this.#parts.settings, request, directory)
    this.#parts.trackers.validate(prepared.evaluation.plan)
    return prepared
  }
}

/** A start whose key is no other user's: keys have no blanks. */
function ofOwner(request: StartRequest): StartRequest {
  const { owner = '', idempotency } = request
  if (owner === '' || idempotency === undefined) return request
  return { ...request, idempotency: { ...idempotency, key: `${owner} ${idempotency.key}` } }
}
