import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { describeBadEnd } from './bad-end.ts'

it.each([
  '/home/ada/.molehill/executions/6298acb964731ed70ca5/jobs/m3ddaa2d7-1-1/command: line 2: exec: netlogo: not found',
  'molehill: line 55: exec: netlogo: not found',
])('a program that is not there is named first: %s', async (said) => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-bad-end-'))
  const stderr = join(directory, 'stderr')
  await writeFile(stderr, `${said}\n`)
  const collected = { stdout: stderr, stderr, files: [], missing: [] }
  const { result } = await describeBadEnd('command', { kind: 'exited', exitCode: 127, collected })
  await rm(directory, { recursive: true })
  expect(result).toMatchObject({
    message: 'The command ended with exit code 127: netlogo: not found',
    stack: said,
  })
})
