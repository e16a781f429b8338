import { afterAll, beforeAll } from 'vitest'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { BoincClient } from '../../test/daemons/boinc.ts'
import { startBoincProject, type BoincProject } from '../../test/daemons/boinc-project.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { plugin } from './index.ts'

const patienceMs = 180_000
/** By itself a client comes every seven seconds at most. */
const updateMs = 2500

/** A job takes some twenty seconds there, whatever it does: those checks to which the client's own ways matter. */
const wanted: ReadonlySet<string> = new Set([
  'answers a check',
  'reports exit codes as they are: 0, 7, 99, 100, 130, 137, 143, 255',
  'a job that a signal ended is stopped, not exited',
  'brings declared outputs byte for byte, and both logs',
  'passes arguments, variables and file names unchanged',
  'places inputs where they are asked for',
  'what a job writes leaves the work directory alone',
  'what many jobs share is there for each of them',
  'a job runs in its own directory, knows its id and has nothing to read',
])

describeWith('boinc', 'a real BOINC client, which is told again and again to come', () => {
  let project: BoincProject
  let client: BoincClient
  let updating: NodeJS.Timeout
  beforeAll(async () => {
    project = await startBoincProject()
    client = await BoincClient.start({ cpus: 8, testUrl: project.url })
    await client.attach(project.url, project.key('ann'))
    updating = setInterval(() => void client.update(project.url).catch(() => undefined), updateMs)
  }, 180_000)
  afterAll(async () => {
    clearInterval(updating)
    await client?.stop()
    await project?.[Symbol.asyncDispose]()
  }, 180_000)

  const make = (directory: string) =>
    plugin.create('boinc', plugin.options.parse({}), {
      directory,
      variables: {},
      volunteers: project.volunteers,
      now: Date.now,
      warn: () => undefined,
    })
  describeEnvironment('boinc with a real client (nine checks)', make, patienceMs, (name) => wanted.has(name))
})
