import { lstat, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { Problem } from '../problem.ts'
import type { Context } from '../workflow/context.ts'
import { readInputs } from '../workflow/given-inputs.ts'
import { isInnerPath } from '../workflow/output-path.ts'
import type { Plan, PlanDescription } from '../workflow/plan.ts'
import type { Json } from '../workflow/value.ts'

/**
 * The plan with what it is started with. Files are given as paths in the work directory. Throws Problem('inputs-invalid')
 * that names everything that is wrong with them.
 */
export async function withInputs(
  plan: Plan,
  given: Readonly<Record<string, unknown>> | undefined,
  workDirectory: string,
): Promise<Plan> {
  const { description } = plan
  if (description === undefined) {
    if (given === undefined || Object.keys(given).length === 0) return plan
    throw new Problem('inputs-invalid', 'The workflow takes no inputs.', {
      hint: 'A script says which inputs it takes: workflow.describe({ title, inputs: [input(value)] }).',
    })
  }
  const read = readInputs(description, given ?? {})
  if (read.kind === 'problems') throw refuse(read.problems)
  const inputs = await placeFiles(description, read.inputs, workDirectory)
  return { ...plan, given: inputs }
}

async function placeFiles(
  { inputs }: PlanDescription,
  given: Context,
  workDirectory: string,
): Promise<Context> {
  const placed: Record<string, Json> = { ...given }
  const problems: string[] = []
  const root = await realpath(workDirectory)
  const place = async (name: string, value: Json): Promise<Json> => {
    if (Array.isArray(value)) return Promise.all(value.map(async (each: Json) => place(name, each)))
    const path = (typeof value === 'string' ? value : '').replace(/^(\.\/)+/, '')
    const problem = await whyNoFile(root, path)
    if (problem !== undefined) problems.push(`${name}: ${JSON.stringify(path)} ${problem}.`)
    return `work/${path}`
  }
  for (const { name, type } of inputs) {
    const value = given[name]
    if (type.base === 'file' && value !== undefined) placed[name] = await place(name, value)
  }
  if (problems.length > 0) throw refuse(problems)
  return placed
}

async function whyNoFile(root: string, path: string): Promise<string | undefined> {
  if (!isInnerPath(path)) return 'is no path inside the work directory'
  try {
    const real = await realpath(join(root, path))
    if (!real.startsWith(root + sep)) return 'leads out of the work directory'
    const entry = await lstat(real)
    return entry.isFile() || entry.isDirectory() ? undefined : 'is neither a file nor a directory'
  } catch {
    return 'is not in the work directory'
  }
}

function refuse(problems: readonly string[]): Problem {
  return new Problem('inputs-invalid', problems.join('\n'), {
    hint: 'Send all inputs again with what the description of the workflow says.',
  })
}
