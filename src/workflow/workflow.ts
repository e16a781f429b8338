import type { WorkflowDescription } from './description.ts'
import { named, type EnvironmentReference } from './environment.ts'
import type { Hook } from './hook.ts'
import { locateCaller, type SourceLocation } from './location.ts'
import type { Sampling } from './sampling.ts'
import type { CommandTaskDefinition, FunctionTaskDefinition, Task } from './task.ts'
import type { Value } from './value.ts'

/** A point of the graph: a capsule, the fan-out of an exploration, or the fan-in of an aggregation. */
export type Step = CapsuleStep | ExploreStep | AggregateStep

export interface CapsuleStep {
  readonly kind: 'capsule'
  readonly name: string
  readonly task: Task
  readonly placement: Placement
  readonly location: SourceLocation | undefined
}

export interface ExploreStep {
  readonly kind: 'explore'
  readonly sampling: Sampling
  readonly location: SourceLocation | undefined
}

export interface AggregateStep {
  readonly kind: 'aggregate'
  readonly location: SourceLocation | undefined
}

/** What hangs on a capsule besides its task. */
export interface Placement {
  /** This machine where there are none. */
  readonly environments: readonly EnvironmentReference[]
  readonly groupSize: number
  readonly hooks: readonly Hook[]
  readonly retry: Retry
  readonly timeoutMs: number | undefined
  /** The share of the capsule's jobs, from 0 to 1, that may fail without failing the execution. */
  readonly tolerance: number
  /** Whether results that two computers sent for one job are the same. */
  readonly agree: ((one: never, other: never) => unknown) | undefined
}

/** A failed job is tried `limit` times more, after `delayMs`, then `delayMs * factor` and so on. */
export interface Retry {
  readonly limit: number
  readonly delayMs: number
  readonly factor: number
}

interface Graph {
  readonly steps: ReadonlySet<Step>
  readonly transitions: ReadonlyMap<Step, ReadonlySet<Step>>
  readonly entries: readonly Step[]
  readonly exits: readonly Step[]
}

export type DescribeOptions = Pick<WorkflowDescription, 'title'> & Partial<WorkflowDescription>

/**
 * Capsules joined by transitions. A workflow never changes: every method gives a new one. It is a part of a larger
 * one as well as a whole: what a script exports by default is run.
 */
export class Workflow {
  readonly graph: Graph
  readonly description: WorkflowDescription | undefined

  constructor(graph: Graph, description?: WorkflowDescription) {
    this.graph = graph
    this.description = description
  }

  /**
   * Tells what the workflow does, which inputs it takes and which outputs it leaves, so that it can be started by its name.
   * Inputs are values like those of any task.
   */
  describe({ title, description = '', category = '', inputs = [], outputs = [] }: DescribeOptions): Workflow {
    return new Workflow(this.graph, { title, description, category, inputs, outputs })
  }

  /**
   * What follows when this has completed. With several branches all of them start; what comes next after them
   * waits for all and receives the values of all.
   */
  next(...branches: readonly Workflow[]): Workflow {
    return sequence(this.graph, parallel(...branches).graph)
  }

  /** Fans out: `body` runs once per sample. */
  explore(sampling: Sampling, ...body: readonly Workflow[]): Workflow {
    return sequence(this.graph, exploration(sampling, body, locateCaller()))
  }

  /**
   * Fans in: waits for all samples of the innermost exploration. Every value made inside of it becomes an array in
   * the order of the samples; values from before the exploration stay as they are.
   */
  aggregate(...branches: readonly Workflow[]): Workflow {
    return sequence(this.graph, startingWith({ kind: 'aggregate', location: locateCaller() }, branches))
  }
}

/** One place of a task in a workflow. Its methods give a new capsule of the same name. */
export class Capsule extends Workflow {
  readonly step: CapsuleStep

  constructor(step: CapsuleStep) {
    super({ steps: new Set([step]), transitions: new Map(), entries: [step], exits: [step] })
    this.step = step
  }

  /** A second place of the same task. */
  named(name: string): Capsule {
    return new Capsule({ ...this.step, name, location: locateCaller() })
  }

  /**
   * Sends the jobs to an environment instead of to this machine: one that the script describes, or one that the server
   * knows by name. Of several, whichever has room takes the next job, and a job that one of them lost may run on another.
   */
  on(
    ...environments: readonly [EnvironmentReference | string, ...(EnvironmentReference | string)[]]
  ): Capsule {
    return this.#placed({
      environments: environments.map((each) => (typeof each === 'string' ? named(each) : each)),
    })
  }

  /** Makes one environment job of `groupSize` jobs. */
  by(groupSize: number): Capsule {
    return this.#placed({ groupSize })
  }

  /** Adds hooks; they run in this order for every completed job. */
  hook(...hooks: readonly Hook[]): Capsule {
    return this.#placed({ hooks: [...this.step.placement.hooks, ...hooks] })
  }

  /** Tries a failed job again: up to `limit` times, waiting `delayMs` first and `factor` times as long each time. */
  retry({
    limit,
    delayMs = 1000,
    factor = 2,
  }: {
    limit: number
    delayMs?: number
    factor?: number
  }): Capsule {
    return this.#placed({ retry: { limit, delayMs, factor } })
  }

  /** Ends a job that runs longer, and counts it as failed. */
  timeoutMs(timeoutMs: number): Capsule {
    return this.#placed({ timeoutMs })
  }

  /** Lets up to this share of the jobs, from 0 to 1, fail. What follows a failed job does not run. */
  tolerate({ share }: { share: number }): Capsule {
    return this.#placed({ tolerance: share })
  }

  /**
   * Says when results agree that several computers sent for the same job, as volunteers' hosts with a quorum do: a function
   * of the outputs of one and of the other, by name, files as paths. Without it results must be the same byte for byte.
   */
  agree(agree: (one: never, other: never) => boolean | Promise<boolean>): Capsule {
    return this.#placed({ agree })
  }

  #placed(change: Partial<Placement>): Capsule {
    return new Capsule({ ...this.step, placement: { ...this.step.placement, ...change } })
  }
}

/** A capsule with a function as its task. The function runs in another process and may use everything it imports. */
export function functionTask<
  const Inputs extends readonly Value[] = [],
  const Outputs extends readonly Value[] = [],
>(name: string, definition: FunctionTaskDefinition<Inputs, Outputs>): Capsule {
  const { inputs = [], outputs = [], run } = definition
  return makeCapsule(name, { kind: 'function', inputs, outputs, run }, locateCaller())
}

/** A capsule with a command line as its task. */
export function commandTask(name: string, definition: CommandTaskDefinition): Capsule {
  const { command, env = {}, inputs = [], outputs = [] } = definition
  return makeCapsule(name, { kind: 'command', command, env, inputs, outputs }, locateCaller())
}

/** Branches that start together. Parts of one graph may be named twice; they are still the same parts. */
export function parallel(...branches: readonly Workflow[]): Workflow {
  const stranger = branches.find((branch) => !(branch instanceof Workflow))
  if (branches.length === 0 || stranger !== undefined)
    throw new TypeError(
      `Expected one or more capsules or workflows to join, got ${branches.length === 0 ? 'none' : typeof stranger}.`,
    )
  const graphs = branches.map(({ graph }) => graph)
  return new Workflow({
    ...union(graphs),
    entries: [...new Set(graphs.flatMap(({ entries }) => entries))],
    exits: [...new Set(graphs.flatMap(({ exits }) => exits))],
  })
}

/** An exploration that starts the workflow. */
export function explore(sampling: Sampling, ...body: readonly Workflow[]): Workflow {
  return new Workflow(exploration(sampling, body, locateCaller()))
}

function makeCapsule(name: string, task: Task, location: SourceLocation | undefined): Capsule {
  return new Capsule({
    kind: 'capsule',
    name,
    task,
    location,
    placement: {
      environments: [],
      groupSize: 1,
      hooks: [],
      retry: { limit: 0, delayMs: 0, factor: 1 },
      timeoutMs: undefined,
      tolerance: 0,
      agree: undefined,
    },
  })
}

function exploration(
  sampling: Sampling,
  body: readonly Workflow[],
  location: SourceLocation | undefined,
): Graph {
  return startingWith({ kind: 'explore', sampling, location }, body)
}

function startingWith(step: Step, branches: readonly Workflow[]): Graph {
  const start: Graph = { steps: new Set([step]), transitions: new Map(), entries: [step], exits: [step] }
  return sequence(start, parallel(...branches).graph).graph
}

function sequence(first: Graph, second: Graph): Workflow {
  const joined = union([first, second])
  const transitions = new Map(joined.transitions)
  for (const exit of first.exits)
    transitions.set(exit, new Set([...(transitions.get(exit) ?? []), ...second.entries]))
  return new Workflow({ steps: joined.steps, transitions, entries: first.entries, exits: second.exits })
}

function union(graphs: readonly Graph[]): Pick<Graph, 'steps' | 'transitions'> {
  const transitions = new Map<Step, ReadonlySet<Step>>()
  for (const graph of graphs)
    for (const [from, to] of graph.transitions)
      transitions.set(from, new Set([...(transitions.get(from) ?? []), ...to]))
  return { steps: new Set(graphs.flatMap(({ steps }) => [...steps])), transitions }
}
