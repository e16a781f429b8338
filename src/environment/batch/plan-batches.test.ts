import { expect, test } from 'vitest'
import { toJobId, type JobRequest, type Resources } from '../environment.ts'
import { planBatches } from './plan-batches.ts'

let count = 0
function request(resources: Resources = {}, workDirectory = '/a'): JobRequest {
  count += 1
  const id = toJobId(`j${count}`)
  return { id, command: ['true'], env: {}, workDirectory, inputs: [], outputs: [], resources }
}

test('jobs with the same resources of one execution go together, as many as may', () => {
  const requests = [
    request({ cpus: 2 }),
    request({ memoryBytes: 5, cpus: 2 }),
    request({ cpus: 2 }),
    request({ cpus: 2, memoryBytes: 5 }),
    request({ cpus: 2 }, '/b'),
    request({ cpus: 2 }),
  ]
  const batches = planBatches(requests, 2, {})
  expect(batches.map((batch) => batch.requests.map((one) => requests.indexOf(one)))).toEqual([
    [0, 2],
    [5],
    [1, 3],
    [4],
  ])
  expect(new Set(batches.map(({ key }) => key)).size).toBe(2)
})

test('a job that asks for nothing gets the defaults', () => {
  const [batch] = planBatches([request({ cpus: 4 })], 10, { cpus: 1, wallTimeMs: 1000 })
  expect(batch?.resources).toEqual({ cpus: 4, wallTimeMs: 1000 })
})

test('the name of a batch is made of its jobs, short, and fit for every scheduler', () => {
  const requests = [request(), request()]
  const [one] = planBatches(requests, 10, {})
  expect(one?.name).toMatch(/^[a-z][a-z0-9]{14}$/)
  expect(planBatches(requests, 10, {})[0]?.name).toBe(one?.name)
  expect(planBatches(requests.slice(1), 10, {})[0]?.name).not.toBe(one?.name)
})
