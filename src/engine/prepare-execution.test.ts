import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeFiles } from '../../test/helpers/engine.ts'
import type { Evaluation } from '../script/contract.ts'
import { prepareExecution } from './prepare-execution.ts'
import type { EngineSettings } from './settings.ts'

const longMs = 60_000
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'molehill-prepare-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const settings = {
  scriptTimeMs: 30_000,
  scriptMemoryBytes: 512 * 2 ** 20,
  variables: process.env,
} as EngineSettings

const content = (name: string) =>
  `import { functionTask } from 'molehill'\nexport default functionTask('${name}', { run: () => ({}) })`

const prepare = async (directory: string, script: string, known?: Evaluation, environment?: string) =>
  prepareExecution(
    settings,
    {
      script,
      signal: AbortSignal.timeout(longMs),
      ...(environment !== undefined && { environment }),
      async fill(workDirectory) {
        await writeFiles(workDirectory, { 'a.ts': content('a'), 'b.ts': content('b') })
        return known
      },
    },
    join(root, directory),
  )

test('a script is not read again where it is known what it says', { timeout: longMs }, async () => {
  const { evaluation } = await prepare('first', 'a.ts')
  const marked = { ...evaluation, plan: { ...evaluation.plan, name: 'known' } }
  expect((await prepare('second', 'a.ts', marked)).evaluation.plan.name).toBe('known')
  // What holds for one start changes nothing for the next one.
  const before = structuredClone(marked)
  expect((await prepare('third', 'a.ts', marked, 'elsewhere')).evaluation.plan).not.toEqual(marked.plan)
  expect(marked).toEqual(before)
})

test('what another script says is not taken for it', { timeout: longMs }, async () => {
  const { evaluation } = await prepare('first', 'a.ts')
  const other = await prepare('second', 'b.ts', evaluation)
  expect(other.evaluation.plan.script).toBe('b.ts')
})
