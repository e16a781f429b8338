import { join } from 'node:path'
import type { Environment } from '../environment/environment.ts'
import { EnvironmentRegistry, loadPlugins } from '../environment/registry.ts'
import { EnvironmentTracker } from '../job/tracker.ts'
import { toProblem } from '../problem.ts'
import { namedKind, type EnvironmentReference } from '../workflow/environment.ts'
import type { Plan } from '../workflow/plan.ts'
import { choreFile, environmentsWithChores } from './chore-file.ts'
import type { EngineSettings } from './settings.ts'
import { jobBoxes } from './task-boxes.ts'

/** The environments of a server, each with the tracker that keeps it busy. */
export class Trackers {
  readonly registry: EnvironmentRegistry
  readonly #settings: EngineSettings
  readonly #trackers = new Map<Environment, EnvironmentTracker>()

  private constructor(registry: EnvironmentRegistry, settings: EngineSettings) {
    this.registry = registry
    this.#settings = settings
  }

  static async load(settings: EngineSettings): Promise<Trackers> {
    const { dataDirectory, variables, taskLimits, now, warn } = settings
    const boxes = await jobBoxes(settings)
    const registry = new EnvironmentRegistry({
      plugins: settings.plugins ?? (await loadPlugins(new URL('../../environments/', import.meta.url))),
      defaults: { local: { slots: settings.slots } },
      ...(settings.named !== undefined && { named: settings.named }),
      directory: join(dataDirectory, 'environments'),
      variables,
      ...(boxes !== undefined && { boxes }),
      ...(taskLimits !== undefined && { limits: taskLimits }),
      ...(settings.volunteers !== undefined && { volunteers: settings.volunteers }),
      ...(settings.fileDesk !== undefined && { fileDesk: settings.fileDesk }),
      now,
      warn: (message) => warn(message, {}),
    })
    return new Trackers(registry, settings)
  }

  /** Throws Problem workflow-invalid when the plan names an environment or option that there is not. */
  validate(plan: Plan): void {
    for (const environment of plan.environments) this.registry.validate(environment)
  }

  /** One tracker per environment of the plan; executions with the same environments share them. */
  async of(plan: Plan): Promise<readonly EnvironmentTracker[]> {
    return Promise.all(plan.environments.map(async (planned) => this.#open(planned)))
  }

  /**
   * Opens the environments of which an earlier life of the server, or of the environment, has left something to be
   * tidied up, whether anybody uses them or not. With a name, only that of this definition.
   */
  async resumeChores(name?: string): Promise<void> {
    const { dataDirectory, warn } = this.#settings
    const directory = join(dataDirectory, 'environments')
    for (const reference of await environmentsWithChores(directory, (message) => warn(message, {}))) {
      if (name !== undefined && (reference.kind !== namedKind || reference.name !== name)) continue
      try {
        await this.#open(reference)
      } catch (error) {
        const environment = reference.name ?? reference.kind
        warn(`${environment}: what is left there cannot be tidied up: ${toProblem(error).message}`, {
          environment,
        })
      }
    }
  }

  /** The tracker of an environment that is open. */
  find(environment: Environment): EnvironmentTracker | undefined {
    return this.#trackers.get(environment)
  }

  /** Lets go of the environment of a definition that was changed or removed, and that no execution uses. */
  async forget(name: string): Promise<void> {
    const live = (await this.registry.all()).find(({ definition }) => definition === name)
    if (live !== undefined) {
      await this.#trackers.get(live.environment)?.close()
      this.#trackers.delete(live.environment)
    }
    await this.registry.forget(name)
  }

  async #open(reference: EnvironmentReference): Promise<EnvironmentTracker> {
    const { environment, directory } = await this.registry.getLive(reference)
    const known = this.#trackers.get(environment)
    if (known !== undefined) return known
    const { now, warn } = this.#settings
    const made = new EnvironmentTracker(environment, {
      now,
      warn: (message) => warn(message, { environment: environment.name }),
      chores: choreFile(directory, reference),
    })
    this.#trackers.set(environment, made)
    return made
  }

  async close(): Promise<void> {
    await Promise.all([...this.#trackers.values()].map(async (tracker) => tracker.close()))
    await this.registry.closeAll()
  }
}
