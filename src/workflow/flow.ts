import type { SourceLocation } from './location.ts'
import { describeType, type ValueType } from './value.ts'
import type { WorkflowProblem } from './workflow-error.ts'

/** What a step reads and writes, as far as the flow of values is concerned. Steps are in topological order. */
export interface FlowStep {
  readonly kind: 'capsule' | 'explore' | 'aggregate'
  readonly label: string
  readonly location: SourceLocation | null
  readonly reads: readonly Read[]
  readonly writes: readonly { readonly name: string; readonly type: ValueType }[]
  /** Indices of the steps that lead here. */
  readonly from: readonly number[]
}

export interface Read {
  readonly name: string
  readonly type: ValueType | undefined
  readonly optional: boolean
  readonly location: SourceLocation | null
}

/** What the analysis found for each step. */
export interface FlowResult {
  readonly scope: number | null
  /** Names that must arrive. */
  readonly needs: ReadonlySet<string>
  /** Names that exist when the step has completed. */
  readonly gives: ReadonlySet<string>
  readonly gathers: readonly string[]
  readonly keeps: readonly string[]
}

interface Origin {
  readonly type: ValueType
  /** The step that made the value, or several where it is not clear which one is meant. */
  readonly steps: readonly number[]
  /** How many explorations the value was made inside of. */
  readonly depth: number
}

interface Arrival {
  /** The explorations that enclose the step, outermost first. */
  readonly stack: readonly number[]
  readonly values: ReadonlyMap<string, Origin>
}

/**
 * Follows every value from where it is made to where it is used: which explorations enclose a step, whether all it
 * reads arrives in the right type, and which values each transition has to carry. `inputs` are there from the start.
 */
export function analyseFlow(
  steps: readonly FlowStep[],
  inputs: readonly { readonly name: string; readonly type: ValueType }[] = [],
): {
  results: readonly FlowResult[]
  problems: readonly WorkflowProblem[]
} {
  const problems: WorkflowProblem[] = []
  const arrivals: Arrival[] = []
  const departures: Arrival[] = []
  for (const [index, step] of steps.entries()) {
    const arrival = arrive(step, steps, { departures, inputs }, problems)
    checkReads(step, steps, arrival, problems)
    arrivals.push(arrival)
    departures.push(depart(index, step, arrival))
  }
  const demands = demandBackwards(steps, arrivals, departures)
  for (const [index, step] of steps.entries())
    for (const name of demands[index]?.needs ?? []) {
      const origin = arrivals[index]?.values.get(name)
      if (origin !== undefined && origin.steps.length > 1)
        problems.push({
          message: `${step.label} receives ${name} from ${origin.steps.map((made) => steps[made]?.label).join(' and from ')}; give one of them another name.`,
          location: step.location,
        })
    }
  return {
    problems,
    results: steps.map((step, index) => ({
      scope: enclosing(step, arrivals[index]).at(-1) ?? null,
      needs: demands[index]?.needs ?? new Set(),
      gives: new Set(departures[index]?.values.keys()),
      gathers: [...(demands[index]?.gathers ?? [])],
      keeps: [...(demands[index]?.keeps ?? [])],
    })),
  }
}

/** Stands for a step where a value comes from whoever starts the workflow. */
const whoStarts = -1

/** Whether a value of one type may be used where another is asked for. */
export function fits(given: ValueType, asked: ValueType): boolean {
  if (asked.base === 'json' && asked.dimensions === 0) return true
  if (given.dimensions !== asked.dimensions) return false
  return given.base === asked.base || (given.base === 'integer' && asked.base === 'number')
}

function enclosing(step: FlowStep, arrival: Arrival | undefined): readonly number[] {
  const stack = arrival?.stack ?? []
  return step.kind === 'aggregate' ? stack.slice(0, -1) : stack
}

function arrive(
  step: FlowStep,
  steps: readonly FlowStep[],
  {
    departures,
    inputs,
  }: {
    departures: readonly Arrival[]
    inputs: readonly { readonly name: string; readonly type: ValueType }[]
  },
  problems: WorkflowProblem[],
): Arrival {
  const values = new Map<string, Origin>()
  if (step.from.length === 0)
    for (const { name, type } of inputs) values.set(name, { type, steps: [whoStarts], depth: 0 })
  const stacks = step.from.map((from) => departures[from]?.stack ?? [])
  const stack = stacks[0] ?? []
  if (stacks.some((other) => other.join() !== stack.join()))
    problems.push({
      message: `${step.label} follows ${step.from.map((from) => steps[from]?.label).join(' and ')}, which do not lie inside the same exploration; aggregate first.`,
      location: step.location,
    })
  if (step.kind === 'aggregate' && stack.length === 0)
    problems.push({
      message: 'There is no exploration here to aggregate; use next instead.',
      location: step.location,
    })
  for (const from of step.from)
    for (const [name, origin] of departures[from]?.values ?? []) {
      const known = values.get(name)
      values.set(
        name,
        known === undefined ? origin : { ...known, steps: [...new Set([...known.steps, ...origin.steps])] },
      )
    }
  return { stack, values }
}

function checkReads(
  step: FlowStep,
  steps: readonly FlowStep[],
  { values }: Arrival,
  problems: WorkflowProblem[],
): void {
  for (const read of step.reads) {
    const origin = values.get(read.name)
    const asked = read.type === undefined ? read.name : `${read.name} (${describeType(read.type)})`
    if (origin === undefined) {
      if (read.optional) continue
      const known = [...values.keys()].join(', ') || 'no value at all'
      problems.push({
        message: `${step.label} needs ${asked}, which nothing before it gives; there is ${known}.`,
        location: read.location ?? step.location,
      })
    } else if (read.type !== undefined && !fits(origin.type, read.type))
      problems.push({
        message: `${step.label} takes ${asked}, but ${steps[origin.steps[0] ?? -1]?.label ?? 'what comes before'} gives ${read.name} as ${describeType(origin.type)}.`,
        location: read.location ?? step.location,
      })
  }
}

function depart(index: number, step: FlowStep, arrival: Arrival): Arrival {
  if (step.kind === 'aggregate') {
    const stack = arrival.stack.slice(0, -1)
    const values = new Map(
      [...arrival.values].map(([name, origin]) => [
        name,
        origin.depth > stack.length
          ? {
              type: { ...origin.type, dimensions: origin.type.dimensions + 1 },
              steps: [index],
              depth: stack.length,
            }
          : origin,
      ]),
    )
    return { stack, values }
  }
  const stack = step.kind === 'explore' ? [...arrival.stack, index] : arrival.stack
  const values = new Map(arrival.values)
  for (const { name, type } of step.writes) values.set(name, { type, steps: [index], depth: stack.length })
  return { stack, values }
}

interface Demand {
  needs: Set<string>
  gathers: Set<string>
  keeps: Set<string>
}

function demandBackwards(
  steps: readonly FlowStep[],
  arrivals: readonly Arrival[],
  departures: readonly Arrival[],
): readonly Demand[] {
  const demands: Demand[] = steps.map(() => ({ needs: new Set(), gathers: new Set(), keeps: new Set() }))
  const wanted: Set<string>[] = steps.map(() => new Set())
  for (let index = steps.length - 1; index >= 0; index -= 1) {
    const step = steps[index]
    const demand = demands[index]
    const arrival = arrivals[index]
    if (step === undefined || demand === undefined || arrival === undefined) continue
    const after = wanted[index] ?? new Set<string>()
    const written = new Set(step.writes.map(({ name }) => name))
    if (step.kind === 'aggregate') {
      const exploration = arrival.stack.at(-1)
      for (const name of after) {
        const isMadeInside = (arrival.values.get(name)?.depth ?? 0) >= arrival.stack.length
        ;(isMadeInside ? demand.gathers : demand.keeps).add(name)
      }
      if (exploration !== undefined) for (const name of demand.keeps) wanted[exploration]?.add(name)
      for (const name of demand.gathers) demand.needs.add(name)
    } else {
      const reads = step.reads.map(({ name }) => name)
      const passing = [...after].filter((name) => !written.has(name))
      for (const name of [...reads, ...passing]) if (arrival.values.has(name)) demand.needs.add(name)
    }
    for (const from of step.from)
      for (const name of demand.needs) if (departures[from]?.values.has(name)) wanted[from]?.add(name)
  }
  return demands
}
