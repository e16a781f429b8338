import type { SourceLocation } from './location.ts'
import type { Plan, PlanCapsule, PlanSampling, PlanValue } from './plan.ts'
import type { Json } from './value.ts'

/** A file or directory of the work directory that a plan counts on. */
export interface ReferencedFile {
  readonly kind: 'file' | 'directory'
  /** Relative to the work directory. */
  readonly path: string
  /** What names it, for an error message. */
  readonly by: string
  readonly location: SourceLocation | null
}

/**
 * What must be in the work directory before the plan runs: defaults of file values, and directories whose files are
 * sampled, unless a hook of the plan may fill the directory first.
 */
export function referencedFiles(plan: Plan): ReferencedFile[] {
  return plan.steps.flatMap((step): ReferencedFile[] => {
    switch (step.kind) {
      case 'capsule':
        return defaultFiles(step)
      case 'explore':
        return sampledDirectories(step.sampling)
          .filter(({ directory }) => !isFilledByHook(plan, directory))
          .map(({ directory, value }) => ({
            kind: 'directory',
            path: directory,
            by: `the exploration of ${value}`,
            location: step.location,
          }))
      case 'aggregate':
        return []
    }
  })
}

function defaultFiles({ task, name, location }: PlanCapsule): ReferencedFile[] {
  const inputs: readonly PlanValue[] = task.inputs
  return inputs
    .filter(({ type }) => type.base === 'file')
    .flatMap((input) =>
      texts(input.default).map((path) => ({
        kind: 'file' as const,
        path,
        by: `the default of ${name}'s input ${input.name}`,
        location,
      })),
    )
}

function texts(value: Json | undefined): string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) ? value.flatMap((each: Json) => texts(each)) : []
}

function sampledDirectories(sampling: PlanSampling): { directory: string; value: string }[] {
  switch (sampling.kind) {
    case 'files':
      return [sampling]
    case 'cross':
    case 'zip':
      return sampling.samplings.flatMap((each) => sampledDirectories(each))
    case 'index':
      return sampledDirectories(sampling.sampling)
    case 'range':
    case 'list':
    case 'elements':
    case 'uniform':
    case 'lhs':
    case 'replicate':
      return []
  }
}

function isFilledByHook(plan: Plan, directory: string): boolean {
  const prefix = `${plain(directory)}/`
  return plan.steps.some(
    (step) =>
      step.kind === 'capsule' &&
      step.hooks.some((hook) => {
        if (hook.kind === 'csv' || hook.kind === 'json-lines') return plain(hook.path).startsWith(prefix)
        if (hook.kind !== 'copy-file') return false
        const fixed = plain(hook.to.texts[0] ?? '')
        return fixed.startsWith(prefix) || (hook.to.values.length > 0 && prefix.startsWith(fixed))
      }),
  )
}

function plain(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')
}
