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
  const command = isBoxed ? boxed(request, jobDirectory, boxes) : request.command
  const words = execText(command, { ...env, ...request.env })
  const before = [
    ...(memoryBytes === undefined ? [] : [`ulimit -d ${Math.ceil(memoryBytes / 1024)}`]),
    // The box would end at once, and the job with it, without having been asked.
    ...(isBoxed ? ["trap '' TERM"] : []),
  ]
  return before.length === 0 ? words : `{ ${[...before, words].join('; ')}; }`
}

function boxed(request: JobRequest, jobDirectory: string, boxes: JobBoxes): readonly string[] {
  const { command, workDirectory, inputs, shared = [] } = request
  const directory = `${jobDirectory}/work`
  return boxes.command(['/usr/bin/env', '--default-signal=TERM', '--', ...command], {
    directory,
    readOnly: [...inputs, ...shared]
      .map(({ from }) => from)
      .filter((from) => !from.startsWith(`${workDirectory}/`)),
    readWrite: [workDirectory, directory],
  })
}
