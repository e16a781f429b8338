import type { Hook } from './hook.ts'
import { list, withIndex, zip } from './sampling.ts'
import { integer, type Value } from './value.ts'
import { Capsule, explore, Workflow } from './workflow.ts'

/** The position of a job in its batch, from 0. */
const job = integer('batchJob')

/** Where the files of job N of a batch are copied to, in the work directory. */
export function batchJobDirectory(number: number): string {
  return `jobs/${number}`
}

/**
 * Runs a described workflow of one capsule many times in one execution: each of its inputs becomes an array with one
 * element a job. What hooks copy to a path goes to `jobs/N/path`, tables are shared, and a job that fails leaves the
 * others alone. Throws TypeError where the workflow is no single capsule, does not describe itself, or has no inputs.
 */
export function batch(app: Workflow, { timeoutMs }: { timeoutMs?: number } = {}): Workflow {
  const { description } = app
  const [step, ...others] = app.graph.steps
  if (!(app instanceof Workflow) || description === undefined)
    throw new TypeError('A batch is made of a workflow that describes itself: workflow.describe({ ... }).')
  if (step?.kind !== 'capsule' || others.length > 0)
    throw new TypeError(
      'A batch is made of a workflow with one capsule and nothing else, so that every job of it is one job.',
    )
  const { hooks, timeoutMs: own } = step.placement
  const shortest = Math.min(own ?? Infinity, timeoutMs ?? Infinity)
  const capsule = new Capsule({
    ...step,
    placement: {
      ...step.placement,
      hooks: hooks.map((hook) => ofJob(hook)),
      tolerance: 1,
      timeoutMs: Number.isFinite(shortest) ? shortest : undefined,
    },
  })
  const values: readonly Value[] = description.inputs.map(({ value }) => value)
  if (values.length === 0) throw new TypeError('A batch is made of a workflow with one or more inputs.')
  const samples = zip(...values.map((value) => list(value, value.array)))
  return explore(withIndex(job, samples), capsule).describe({
    ...description,
    inputs: description.inputs.map((each) => ({
      ...each,
      value: each.value.array,
      default: undefined,
      mandatory: true,
    })),
    outputs: description.outputs.map((output) => ({ ...output, path: `jobs/*/${output.path}` })),
  })
}

function ofJob(hook: Hook): Hook {
  if (hook.kind !== 'copy-file') return hook
  const { texts, values } = typeof hook.to === 'string' ? { texts: [hook.to], values: [] } : hook.to
  const [first = '', ...rest] = texts
  return {
    ...hook,
    to: { kind: 'template', texts: ['jobs/', `/${first}`, ...rest], values: [job, ...values] },
  }
}
