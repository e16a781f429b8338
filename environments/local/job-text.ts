import type { JobRequest } from '../../src/environment/environment.ts'
import type { JobBoxes } from '../../src/environment/plugin.ts'
import { execText } from '../../src/environment/quote.ts'

/** One line of shell text that becomes the job, in a box of its own where jobs are to have one. */
export function jobText(
  request: JobRequest,
  jobDirectory: string,
  env: Readonly<Record<string, string>>,
  boxes: JobBoxes | undefined,
): string {
  const { memoryBytes } = request.resources
  const isBoxed = boxes?.isPerJob === true
  const variables = { ...env, ...request.env }
  // In the box only: some variables are orders to whatever program is started with them.
  const words = isBoxed
    ? execText(boxed(request, jobDirectory, variables, boxes), {})
    : execText(request.command, variables)
  const before = [
    ...(memoryBytes === undefined ? [] : [`ulimit -d ${Math.ceil(memoryBytes / 1024)}`]),
    // The box would end at once, and the job with it, without having been asked.
    ...(isBoxed ? ["trap '' TERM"] : []),
  ]
  return before.length === 0 ? words : `{ ${[...before, words].join('; ')}; }`
}

function boxed(
  request: JobRequest,
  jobDirectory: string,
  variables: Readonly<Record<string, string>>,
  boxes: JobBoxes,
): readonly string[] {
  const { command, workDirectory, inputs, shared = [] } = request
  const directory = `${jobDirectory}/work`
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`)
  return boxes.command(['/usr/bin/env', '--default-signal=TERM', '--', ...assignments, ...command], {
    directory,
    readOnly: [...inputs, ...shared]
      .map(({ from }) => from)
      .filter((from) => !from.startsWith(`${workDirectory}/`)),
    readWrite: [workDirectory, directory],
  })
}
