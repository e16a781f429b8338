import { afterAll, beforeAll, describe } from 'vitest'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { plugin } from './index.ts'
import { FakeProject } from './project.fixtures.ts'

describe('BOINC with a fake project, which runs the launcher itself', () => {
  let project: FakeProject
  beforeAll(async () => {
    project = await FakeProject.start()
  })
  afterAll(() => project[Symbol.asyncDispose]())

  const make = (directory: string) =>
    plugin.create('boinc', plugin.options.parse({}), {
      directory,
      variables: {},
      volunteers: project,
      now: Date.now,
      warn: () => undefined,
    })
  describeEnvironment('boinc with a fake project', make, 120_000)
})
