import { mismatch } from './context.ts'
import type { DescribedInput, WorkflowDescription } from './description.ts'
import { checkInput } from './given-inputs.ts'
import type { SourceLocation } from './location.ts'
import type { PlanDescription, PlanInput } from './plan.ts'
import { isInnerPath } from './output-path.ts'
import { describeType, isValue, type Json } from './value.ts'
import type { WorkflowProblem } from './workflow-error.ts'

/** A description as plain data; what is wrong with it goes to `problems`. */
export function compileDescription(
  { title, description, category, inputs, outputs }: WorkflowDescription,
  locate: (location: SourceLocation | undefined) => SourceLocation | null,
  problems: WorkflowProblem[],
): PlanDescription {
  const seen = new Set<string>()
  const compiled = inputs.flatMap((input): PlanInput[] => {
    const report = (message: string): void =>
      void problems.push({ message, location: locate(input.location) })
    if (!isValue(input.value)) {
      report('An input is made of something that is no value; write input(value, { ... }).')
      return []
    }
    const made = compileInput(input)
    if (seen.has(made.name)) report(`The input ${made.name} is described twice.`)
    seen.add(made.name)
    for (const problem of problemsOf(made)) report(problem)
    return [made]
  })
  for (const { path } of outputs)
    if (!isInnerPath(path))
      problems.push({
        message: `The output ${JSON.stringify(path)} is no path inside the work directory.`,
        location: null,
      })
  return { title, description, category, inputs: compiled, outputs }
}

function compileInput(input: DescribedInput): PlanInput {
  const { value, title, description, category, mandatory, advanced, formats } = input
  return {
    name: value.name,
    type: value.type,
    title,
    description,
    category,
    isMandatory: mandatory || input.default === undefined,
    isAdvanced: advanced,
    formats,
    ...(input.default !== undefined && { default: input.default as Json }),
    ...(input.values !== undefined && { values: input.values as readonly Json[] }),
    ...(input.minimum !== undefined && { minimum: input.minimum }),
    ...(input.maximum !== undefined && { maximum: input.maximum }),
  }
}

function* problemsOf(input: PlanInput): Generator<string> {
  const { name, type, minimum, maximum, values } = input
  const isNumber = type.base === 'number' || type.base === 'integer'
  if ((minimum !== undefined || maximum !== undefined) && !isNumber)
    yield `The input ${name} is ${describeType(type)}; minimum and maximum are for numbers.`
  if (minimum !== undefined && maximum !== undefined && !(minimum <= maximum))
    yield `The input ${name} has the minimum ${minimum} and the maximum ${maximum}; expected minimum ≤ maximum.`
  if (input.formats.length > 0 && type.base !== 'file')
    yield `The input ${name} is ${describeType(type)}; formats are for files.`
  for (const value of values ?? []) {
    const found = mismatch(value, { ...type, dimensions: 0 })
    if (found !== undefined) yield `The input ${name} lists a value that it cannot have: expected ${found}.`
  }
  if (input.default === undefined) return
  const problem = checkInput(input, input.default)
  if (problem !== undefined) yield `The default of the input ${name} would be refused: ${problem}`
}
