// A server in small, for tests that kill it: runs `sh -c <script>` and tells when the job runs.
import { mkdirSync } from 'node:fs'
import { toJobId } from '../../src/environment/environment.ts'
import { plugin } from '../../environments/local/index.ts'

const [directory = '', script = ''] = process.argv.slice(2)
const workDirectory = `${directory}/work`
mkdirSync(workDirectory, { recursive: true })
const environment = await plugin.create('local', plugin.options.parse({ slots: 2 }), {
  directory: `${directory}/environment`,
  variables: process.env,
  now: Date.now,
  warn: (message) => console.error(message),
})
const { signal } = new AbortController()
const id = toJobId('orphan')
environment.watch?.(() => console.log('changed'), signal)
const request = {
  id,
  command: ['sh', '-c', script],
  env: {},
  workDirectory,
  inputs: [],
  outputs: [],
  resources: {},
}
await environment.submit([request], signal)
