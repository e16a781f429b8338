import { expect, test } from 'vitest'
import { compile } from './compile.ts'
import { withDefaultEnvironment } from './default-environment.ts'
import { named } from './environment.ts'
import type { Plan } from './plan.ts'
import { functionTask, parallel, type Workflow } from './workflow.ts'

const task = (name: string) => functionTask(name, { run: () => ({}) })
const planOf = (workflow: Workflow): Plan =>
  compile(workflow, { script: 'w.ts', directoryUrl: 'file:///w/' }).plan
const placesOf = (plan: Plan) =>
  plan.steps.map((step) =>
    step.kind === 'capsule' ? step.environments.map((index) => plan.environments[index]?.name) : [],
  )

test('what the script leaves on this machine goes to the given environment, the rest stays', () => {
  const plan = planOf(parallel(task('a'), task('b').on('other'), task('c').on('other', 'local')))
  const placed = withDefaultEnvironment(plan, named('cluster'))
  expect(placesOf(placed)).toEqual([['cluster'], ['other'], ['other', 'cluster']])
  expect(placed.environments.map(({ kind }) => kind)).toEqual(['named', 'named'])
})

test('an environment that the script names as well stays one', () => {
  const plan = planOf(parallel(task('a'), task('b').on('cluster'), task('c').on('local', 'cluster')))
  expect(placesOf(withDefaultEnvironment(plan, named('cluster')))).toEqual([
    ['cluster'],
    ['cluster'],
    ['cluster'],
  ])
})
