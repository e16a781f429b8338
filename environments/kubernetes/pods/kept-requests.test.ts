import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { toJobId, type JobRequest } from '../../../src/environment/environment.ts'
import { KeptRequests } from './kept-requests.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-kept-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
})

const id = toJobId('job-1')
const request: JobRequest = {
  id,
  command: ['true'],
  env: {},
  workDirectory: '/somewhere',
  inputs: [],
  outputs: [],
  resources: {},
}
const left = () =>
  readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())

test('the next life of the server knows requests, and which pod got their files', async () => {
  const first = new KeptRequests(directory)
  await first.keep(request)
  await first.serve(id, 'uid-1')
  const second = new KeptRequests(directory)
  expect(second.read(id)).toEqual(request)
  expect(second.servedPod(id)).toBe('uid-1')
  expect(second.ofExecution('/somewhere')).toEqual([id])
  expect(second.ofExecution('/elsewhere')).toEqual([])
})

test('nothing is left of what was forgotten, also while its pod was being written down', async () => {
  const requests = new KeptRequests(directory)
  await requests.keep(request)
  const serving = requests.serve(id, 'uid-1')
  requests.forget([id])
  await serving
  expect(left()).toEqual([])
  expect(requests.servedPod(id)).toBeUndefined()
  expect(requests.read(id)).toBeUndefined()
})

test('half a file of an earlier life is removed, and a pod without a request', async () => {
  await new KeptRequests(directory).keep(request)
  writeFileSync(join(directory, 'requests/.job-2.abc.tmp'), '{"id"')
  writeFileSync(join(directory, 'pods/job-9'), 'uid')
  const requests = new KeptRequests(directory)
  expect(left().map(({ name }) => name)).toEqual([id])
  expect(requests.servedPod(toJobId('job-9'))).toBeUndefined()
})
