import { compileHook, compileTask, type FunctionTable } from './compile-task.ts'
import { compileDescription } from './compile-description.ts'
import { compileSampling, samplingReads, samplingWrites } from './compile-sampling.ts'
import { namedKind, type EnvironmentReference } from './environment.ts'
import { analyseFlow, type FlowStep, type Read } from './flow.ts'
import type { SourceLocation } from './location.ts'
import { orderTopologically } from './order.ts'
import type { Plan, PlanCapsule, PlanEnvironment, PlanHook, PlanStep, PlanTask } from './plan.ts'
import type { CapsuleStep, Placement, Step, Workflow } from './workflow.ts'
import { WorkflowError, type WorkflowProblem } from './workflow-error.ts'

/** A plan, and the functions it names. The functions never leave the process that evaluated the script. */
export interface Compiled {
  readonly plan: Plan
  readonly functions: FunctionTable
}

/**
 * Turns a workflow into a plan. Throws WorkflowError with everything that is wrong: cycles, missing values, types
 * that do not fit, names used twice, settings out of range.
 * @param origin the script's path in the work directory and the work directory's URL, ending in `/`
 */
export function compile(workflow: Workflow, origin: { script: string; directoryUrl: string }): Compiled {
  const { steps, transitions } = workflow.graph
  const order = orderTopologically([...steps], transitions)
  const locate = (location: SourceLocation | undefined): SourceLocation | null =>
    location === undefined ? null : { ...location, file: relativeTo(origin.directoryUrl, location.file) }
  if (order.kind === 'cycle')
    throw new WorkflowError([
      {
        message: `The workflow runs in a circle: ${[...order.nodes, order.nodes[0]].map((step) => (step === undefined ? '' : label(step))).join(' → ')}.`,
        location: locate(order.nodes[0]?.location),
      },
    ])

  const indices = new Map(order.nodes.map((step, index) => [step, index]))
  const problems: WorkflowProblem[] = checkNames(order.nodes, locate)
  const environments = listEnvironments(order.nodes)
  const functions: FunctionTable = new Map()
  const drafts = order.nodes.map((step) => draft(step, { functions, environments, locate, problems }))
  const from = order.nodes.map((): number[] => [])
  for (const [source, targets] of transitions)
    for (const target of targets) from[indices.get(target) ?? -1]?.push(indices.get(source) ?? -1)

  const description =
    workflow.description === undefined
      ? undefined
      : compileDescription(workflow.description, locate, problems)
  const flow = analyseFlow(
    order.nodes.map((step, index) => flowStep(step, drafts[index], from[index] ?? [], locate)),
    description?.inputs ?? [],
  )
  problems.push(...flow.problems)
  for (const [index, step] of order.nodes.entries())
    if (step.kind !== 'capsule' && ![...(transitions.get(step) ?? [])].length)
      problems.push({
        message: `Nothing follows ${label(step)}; name the capsules that it leads to.`,
        location: locate(order.nodes[index]?.location),
      })
  if (problems.length > 0) throw new WorkflowError(problems)

  const planSteps = order.nodes.map((step, index): PlanStep => {
    const found = flow.results[index]
    const placed = { scope: found?.scope ?? null, location: locate(step.location) }
    switch (step.kind) {
      case 'capsule':
        return { ...(drafts[index] as DraftCapsule), ...placed }
      case 'explore':
        return { kind: 'explore', sampling: compileSampling(step.sampling), ...placed }
      case 'aggregate':
        return {
          kind: 'aggregate',
          exploration: explorationEndedBy(index, from, order.nodes, flow.results),
          gathers: found?.gathers ?? [],
          keeps: found?.keeps ?? [],
          ...placed,
        }
    }
  })
  return {
    functions,
    plan: {
      version: 1,
      name: origin.script.replace(/^.*\//, '').replace(/\.[^.]*$/, ''),
      script: origin.script,
      steps: planSteps,
      environments: environments.map(({ name, kind, options }) => ({ name, kind, options })),
      ...(description !== undefined && { description }),
      transitions: from.flatMap((sources, to) =>
        sources.map((source) => ({
          from: source,
          to,
          carries: [...(flow.results[to]?.needs ?? [])].filter((name) =>
            flow.results[source]?.gives.has(name),
          ),
        })),
      ),
    },
  }
}

type DraftCapsule = Omit<PlanCapsule, 'scope' | 'location'>

interface Drafting {
  readonly functions: FunctionTable
  readonly environments: readonly ListedEnvironment[]
  readonly locate: (location: SourceLocation | undefined) => SourceLocation | null
  readonly problems: WorkflowProblem[]
}

function draft(
  step: Step,
  { functions, environments, locate, problems }: Drafting,
): DraftCapsule | undefined {
  const location = locate(step.location)
  const report = (message: string): void => void problems.push({ message, location })
  if (step.kind === 'explore') compileSampling(step.sampling, report)
  if (step.kind !== 'capsule') return undefined
  const { placement, name } = step
  checkPlacement(step, report)
  return {
    kind: 'capsule',
    name,
    task: compileTask(step.task, name, functions, report),
    environments: environmentIndices(placement.environments, environments),
    groupSize: placement.groupSize,
    retry: placement.retry,
    timeoutMs: placement.timeoutMs ?? null,
    tolerance: placement.tolerance,
    ...(placement.agree !== undefined && {
      agree: compileAgree(placement.agree, name, functions, report),
    }),
    hooks: placement.hooks.map((hook, index) =>
      compileHook(hook, `${name}.hooks[${index}]`, step.task, functions, report),
    ),
  }
}

/** Functions take one object. */
function compileAgree(
  agree: NonNullable<Placement['agree']>,
  capsule: string,
  functions: FunctionTable,
  report: (message: string) => void,
): string {
  if (typeof agree !== 'function')
    report(`${capsule} agrees by ${typeof agree}, expected a function of two results.`)
  const name = `${capsule}.agree`
  functions.set(name, ({ one, other }: { readonly one: never; readonly other: never }) => agree(one, other))
  return name
}

function flowStep(
  step: Step,
  drafted: DraftCapsule | undefined,
  from: readonly number[],
  locate: (location: SourceLocation | undefined) => SourceLocation | null,
): FlowStep {
  const common = { kind: step.kind, label: label(step), location: locate(step.location), from }
  if (step.kind === 'explore')
    return {
      ...common,
      reads: samplingReads(step.sampling).map((value) => ({
        name: value.name,
        type: value.type,
        optional: false,
        location: locate(value.location),
      })),
      writes: samplingWrites(step.sampling),
    }
  if (step.kind === 'aggregate' || drafted === undefined) return { ...common, reads: [], writes: [] }
  const writes = drafted.task.outputs.map(({ name, type }) => ({ name, type }))
  return { ...common, writes, reads: capsuleReads(drafted.task, drafted.hooks) }
}

function capsuleReads(task: PlanTask, hooks: readonly PlanHook[]): Read[] {
  const own = new Set([...task.inputs, ...task.outputs].map(({ name }) => name))
  const hooked = new Set(hooks.flatMap((hook) => hookValues(hook)).filter((name) => !own.has(name)))
  return [
    ...task.inputs.map((input) => ({
      name: input.name,
      type: input.type,
      optional: input.default !== undefined,
      location: null,
    })),
    ...[...hooked].map((name) => ({ name, type: undefined, optional: false, location: null })),
  ]
}

function hookValues(hook: PlanHook): readonly string[] {
  switch (hook.kind) {
    case 'display-text':
      return hook.template.values
    case 'copy-file':
      return [hook.value, ...hook.to.values]
    case 'display-values':
    case 'display-function':
    case 'csv':
    case 'json-lines':
      return hook.values
  }
}

function label(step: Step): string {
  switch (step.kind) {
    case 'capsule':
      return step.name
    case 'explore':
      return 'the exploration'
    case 'aggregate':
      return 'the aggregation'
  }
}

function explorationEndedBy(
  index: number,
  from: readonly number[][],
  steps: readonly Step[],
  results: readonly { readonly scope: number | null }[],
): number {
  const source = from[index]?.[0] ?? -1
  return steps[source]?.kind === 'explore' ? source : (results[source]?.scope ?? -1)
}

function checkNames(
  steps: readonly Step[],
  locate: (location: SourceLocation | undefined) => SourceLocation | null,
): WorkflowProblem[] {
  const seen = new Map<string, SourceLocation | null>()
  const problems: WorkflowProblem[] = []
  for (const step of steps) {
    if (step.kind !== 'capsule') continue
    const location = locate(step.location)
    if (!/^[A-Za-z][\w.-]{0,63}$/.test(step.name))
      problems.push({
        message: `The name ${JSON.stringify(step.name)} cannot be a capsule's; expected a letter, then up to 63 letters, digits, dots, hyphens or underscores.`,
        location,
      })
    const earlier = seen.get(step.name)
    if (earlier !== undefined)
      problems.push({
        message: `Two capsules are named ${step.name}, the other at line ${earlier?.line ?? '?'}; use one and the same constant in both places, or give one of them another name with named().`,
        location,
      })
    seen.set(step.name, location)
  }
  return problems
}

function checkPlacement({ placement, name }: CapsuleStep, report: (message: string) => void): void {
  const { groupSize, retry, timeoutMs, tolerance } = placement
  if (!Number.isSafeInteger(groupSize) || groupSize < 1)
    report(`${name} is grouped by ${groupSize}; expected a whole number from 1.`)
  if (!Number.isSafeInteger(retry.limit) || retry.limit < 0 || !(retry.delayMs >= 0) || !(retry.factor >= 1))
    report(`${name} has retries ${JSON.stringify(retry)}; expected limit and delayMs from 0, factor from 1.`)
  if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs < 2 ** 31 * 1000))
    report(`${name} has a time-out of ${timeoutMs} ms; expected more than 0.`)
  if (!(tolerance >= 0 && tolerance <= 1))
    report(`${name} tolerates a share of ${tolerance}; expected 0 to 1.`)
}

interface ListedEnvironment extends PlanEnvironment {
  /** The name that the script gives, before a number made it unique. */
  readonly wanted: string
}

const localByDefault: ListedEnvironment = { name: 'local', kind: 'local', options: {}, wanted: 'local' }

function listEnvironments(steps: readonly Step[]): readonly ListedEnvironment[] {
  const references = steps.flatMap((step) => (step.kind === 'capsule' ? step.placement.environments : []))
  // The server knows these by their names, so the others make way.
  const known = references.flatMap(({ kind, name }) =>
    kind === namedKind && name !== undefined ? [name] : [],
  )
  const found: ListedEnvironment[] = []
  for (const reference of references) {
    const { kind, options } = reference
    if ([...found, localByDefault].some((each) => isSame(reference, each))) continue
    const wanted = reference.name ?? kind
    const taken = new Set([...known, ...[...found, localByDefault].map(({ name }) => name)])
    let name = wanted
    if (kind !== namedKind) for (let suffix = 2; taken.has(name); suffix += 1) name = `${wanted}-${suffix}`
    found.push({ name, kind, options, wanted })
  }
  return [...found, localByDefault]
}

function environmentIndices(
  references: readonly EnvironmentReference[],
  environments: readonly ListedEnvironment[],
): number[] {
  if (references.length === 0) return [environments.length - 1]
  const indices = references.map((reference) =>
    environments.findIndex((environment) => isSame(reference, environment)),
  )
  return [...new Set(indices)]
}

/** An unnamed reference is any environment of the same kind and options. */
function isSame(reference: EnvironmentReference, environment: ListedEnvironment): boolean {
  return (
    reference.kind === environment.kind &&
    JSON.stringify(reference.options) === JSON.stringify(environment.options) &&
    (reference.name === undefined || reference.name === environment.wanted)
  )
}

function relativeTo(directoryUrl: string, file: string): string {
  const url = file.startsWith('/') ? `file://${file}` : file
  return url.startsWith(directoryUrl) ? decodeURIComponent(url.slice(directoryUrl.length)) : file
}
