import { processVariables } from '../config/process-variables.ts'
import { runCommandLine } from './program.ts'

// A reader that has seen enough, such as `head`, closes the pipe. Whoever has something to clean up does so first.
process.stdout.once('error', (error: NodeJS.ErrnoException) => {
  // Each write from now on fails as well.
  process.stdout.on('error', () => undefined)
  if (process.listenerCount('SIGTERM') > 0) process.emit('SIGTERM', 'SIGTERM')
  else process.exit(error.code === 'EPIPE' ? 0 : 1)
})

process.exitCode = await runCommandLine(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  variables: processVariables,
  currentDirectory: process.cwd(),
  now: Date.now,
  footer: { lines: [] },
})
