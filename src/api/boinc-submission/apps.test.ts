import { describe, expect, it } from 'vitest'
import type { Catalog, CatalogWorkflow } from '../../catalog/contract.ts'
import { Problem } from '../../problem.ts'
import type { PlanInput } from '../../workflow/plan.ts'
import { checkTemplateNames, findApp, jobInputs } from './apps.ts'

const described = (
  name: string,
  base: PlanInput['type']['base'],
  more: Partial<PlanInput> = {},
  dimensions = 0,
): PlanInput => ({
  name,
  type: { base, dimensions },
  title: name,
  description: '',
  category: '',
  isMandatory: more.default === undefined,
  isAdvanced: false,
  formats: [],
  ...more,
})

async function appOf(...inputs: readonly PlanInput[]) {
  const workflow: CatalogWorkflow = {
    kind: 'workflow',
    name: 'app',
    origin: 'installed',
    script: 'workflow.ts',
    description: {
      title: '',
      description: '',
      category: '',
      inputs,
      outputs: [{ path: 'out', title: '', description: '', role: '' }],
    },
  }
  const catalog: Pick<Catalog, 'find'> = {
    find: async (name) => {
      if (name === 'app') return workflow
      throw new Problem('workflow-unknown', 'none')
    },
  }
  return findApp(catalog, 'app')
}

describe('an app', () => {
  it('has its file inputs as input files, in their order', async () => {
    const app = await appOf(
      described('b', 'file', { formats: ['fits'] }),
      described('n', 'number'),
      described('a', 'file'),
    )
    expect([app.files.map(({ name }) => name), app.openNames, app.outputs]).toEqual([
      ['b', 'a'],
      ['b.fits', 'a'],
      ['out'],
    ])
    expect(jobInputs(app, '--n 1', ['x/b.fits', 'x/a'])).toEqual({ b: 'x/b.fits', a: 'x/a', n: 1 })
  })

  it('takes a whole command line where it asks for one', async () => {
    const line = ` --t 'A B' "" `
    expect(jobInputs(await appOf(described('commandLine', 'string')), line, [])).toEqual({
      commandLine: line,
    })
    expect(jobInputs(await appOf(described('commandLine', 'string', {}, 1)), line, [])).toEqual({
      commandLine: ['--t', 'A B', ''],
    })
  })

  it('takes options by the names of its inputs', async () => {
    const app = await appOf(
      described('t', 'string', { default: '' }),
      described('alpha', 'number', { default: 0, maximum: 1 }),
      described('fast', 'boolean', { default: false }),
      described('n', 'integer', { default: [] }, 1),
      described('j', 'json', { default: null }),
    )
    expect(jobInputs(app, `--t='a=b' --alpha -0.5 -fast --n 1 --n=2 --j {"x":1}`, [])).toEqual({
      t: "'a=b'",
      alpha: -0.5,
      fast: true,
      n: [1, 2],
      j: { x: 1 },
    })
    expect(jobInputs(app, `--t 'a b' --fast false`, [])).toMatchObject({ t: 'a b', fast: false })
    for (const [line, message] of [
      ['--beta 1', '"--beta" is no option; there are --t, --alpha, --fast, --n, --j'],
      ['file', '"file" is no option'],
      ['--alpha', '--alpha needs a value'],
      ['--alpha x', '--alpha takes a number, not "x"'],
      ['--alpha 2', 'alpha: expected at most 1, got 2.'],
      ['--n 1.5', 'n: expected'],
      ['--j {', '--j takes JSON'],
      ['--fast=perhaps', '--fast takes true or false'],
      ['--__proto__ 1', 'is no option'],
    ] as const)
      expect(() => jobInputs(app, line, []), line).toThrow(message)
  })

  it('has the templates of its name, and no others', async () => {
    const app = await appOf()
    const names = (inputTemplateName?: string, outputTemplateName?: string) => ({
      inputTemplateName,
      outputTemplateName,
    })
    expect(() => checkTemplateNames(app, names('app_in', 'app_out'))).not.toThrow()
    expect(() => checkTemplateNames(app, names())).not.toThrow()
    expect(() => checkTemplateNames(app, names('../etc/passwd'))).toThrow(
      "couldn't parse input template file ../etc/passwd",
    )
    expect(() => checkTemplateNames(app, names(undefined, 'x'))).toThrow(
      "couldn't parse output template file x",
    )
  })
})
