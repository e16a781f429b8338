import type { PlanCapsule } from '../../workflow/plan.ts'
import { callInputs } from '../function-jobs.ts'
import type { Completion } from '../job-ends.ts'
import type { RunResources } from '../run-resources.ts'
import { HookError } from './render.ts'

/** For each completion, by the position of the hook, what its function returned. */
export type DisplayTexts = readonly (readonly unknown[] | undefined)[]

/**
 * Calls the script's functions of a capsule's display hooks, all completed jobs of a hook in one batch.
 * Throws HookError when such a function throws.
 */
export async function displayTexts(
  { host, paths }: RunResources,
  capsule: PlanCapsule,
  completions: readonly Completion[],
): Promise<DisplayTexts> {
  const hasFunction = capsule.hooks.some((hook) => hook.kind === 'display-function')
  if (!hasFunction || completions.length === 0) return []
  const texts: unknown[][] = completions.map(() => [])
  for (const [position, hook] of capsule.hooks.entries()) {
    if (hook.kind !== 'display-function') continue
    const values = [...capsule.task.inputs, ...capsule.task.outputs].filter(({ name }) =>
      hook.values.includes(name),
    )
    const calls = completions.map(({ job, outputs }) => ({
      inputs: callInputs(
        { kind: 'function', function: hook.function, inputs: values, outputs: [] },
        { ...job.activation.context, ...outputs },
        paths,
      ),
      directory: paths.filesDirectory,
    }))
    const outcomes = await host.call(hook.function, calls, {
      timeoutMs: 60_000,
      signal: new AbortController().signal,
    })
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind !== 'returned')
        throw new HookError(`A display hook of ${capsule.name} failed: ${outcome.message}`)
      const list = texts[index]
      if (list !== undefined) list[position] = outcome.result
    }
  }
  return texts
}
