/**
 * An engine in a process of its own, to be killed: starts the workflow in a directory, or goes on with what is there,
 * and prints a line of JSON whenever the counts have changed.
 * Arguments: the data directory, and the work directory of a new execution if there is to be one.
 */
import { cp } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { createExecutions } from '../../src/engine/executions.ts'

const [, , dataDirectory = '', source] = process.argv
const executions = await createExecutions({
  dataDirectory,
  slots: 2,
  scriptTimeMs: 30_000,
  scriptMemoryBytes: 512 * 2 ** 20,
  outputBytes: 2 ** 20,
  variables: process.env,
  now: Date.now,
  warn: (message) => console.error(message),
})
const id =
  source === undefined
    ? (executions.list()[0]?.id ?? '')
    : await executions.start({
        script: 'workflow.ts',
        signal: AbortSignal.timeout(60_000),
        fill: async (workDirectory) => cp(source, workDirectory, { recursive: true }),
      })
let last = ''
for (;;) {
  const { state, counts } = executions.state(id)
  const line = JSON.stringify({ id, state, ...counts })
  if (line !== last) console.log(line)
  last = line
  if (state !== 'running') break
  await delay(5)
}
await executions.close()
