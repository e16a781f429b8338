import { z } from 'zod'
import type { PlanDescription, PlanInput } from '../../workflow/plan.ts'

export const optionSchema = z.object({
  type: z.enum(['none', 'int', 'float', 'str']).meta({ description: '`none` is a flag.' }),
  description: z.string(),
  mandatory: z.boolean(),
  advanced: z.union([z.literal(0), z.literal(1)]),
  category: z.string(),
  subcategory: z.string(),
  enum: z.boolean(),
  default: z.unknown().optional(),
  min: z.union([z.number(), z.literal('')]).optional(),
  max: z.union([z.number(), z.literal('')]).optional(),
  allowed_values: z.array(z.unknown()).optional(),
})

export type OptionDescription = z.input<typeof optionSchema>

/** The input that an app's data go to: the first one that is a file. */
export function dataInputOf({ inputs }: PlanDescription): PlanInput | undefined {
  return inputs.find(({ type }) => type.base === 'file')
}

/** What may be chosen: all inputs but the one that the data go to. */
export function optionsOf(description: PlanDescription): readonly PlanInput[] {
  const data = dataInputOf(description)
  return description.inputs.filter((input) => input !== data)
}

/** The options of an app as caesar-rest describes them. */
export function describeOptions(description: PlanDescription): Record<string, OptionDescription> {
  return Object.fromEntries(optionsOf(description).map((input) => [input.name, describeOption(input)]))
}

/** The later, nested form: with what goes in and what comes out. */
export function describeNested(name: string, app: PlanDescription): Record<string, unknown> {
  const data = dataInputOf(app)
  return {
    name,
    description: app.description === '' ? app.title : app.description,
    tool_categories: app.category === '' ? [] : [app.category],
    input_requirements:
      data === undefined
        ? {}
        : {
            expected_data: data.title,
            supported_formats: data.formats,
            notes: data.description,
          },
    job_options: describeOptions(app),
    job_outputs: Object.fromEntries(
      app.outputs.map(({ path, title, description, role }) => [
        path,
        {
          role,
          parser: parserOf(path),
          type: 'file',
          [path.includes('*') ? 'glob' : 'path']: path,
          required: !path.includes('*'),
          description: title,
          notes: description,
        },
      ]),
    ),
    limitations: [],
  }
}

function parserOf(path: string): string {
  return /\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase() ?? ''
}

function describeOption(input: PlanInput): OptionDescription {
  const { title, description, category, isMandatory, isAdvanced, values, minimum, maximum } = input
  const [heading = '', ...below] = category.split('/')
  const shared = {
    mandatory: isMandatory || input.default === undefined,
    description: description === '' ? title : `${title}. ${description}`,
    advanced: isAdvanced ? (1 as const) : (0 as const),
    category: heading,
    subcategory: below.join('/'),
  }
  const fallback = input.default ?? ''
  if (isFlag(input))
    return { ...shared, type: 'none', enum: false, ...(input.default === true && { default: true }) }
  if (values !== undefined)
    return { ...shared, type: 'str', default: fallback, allowed_values: [...values], enum: true }
  return {
    ...shared,
    type: typeOf(input),
    default: typeof fallback === 'object' ? JSON.stringify(fallback) : fallback,
    min: boundOf(minimum),
    max: boundOf(maximum),
    enum: false,
  }
}

export function isFlag({ type }: PlanInput): boolean {
  return type.base === 'boolean' && type.dimensions === 0
}

/** Lists, files and JSON are texts here. */
function typeOf({ type }: PlanInput): 'int' | 'float' | 'str' {
  if (type.dimensions > 0) return 'str'
  if (type.base === 'integer') return 'int'
  return type.base === 'number' ? 'float' : 'str'
}

/** JSON has no infinity, and it is no bound. */
function boundOf(bound: number | undefined): number | '' {
  return bound !== undefined && Number.isFinite(bound) ? bound : ''
}
