import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archiveFlags, archiveRows } from './bad-input/archives.ts'
import type { Refused } from './bad-input/row.ts'
import { openStage, packForm, readProblem, type Received, type Stage } from './bad-input/stage.ts'

let stage: Stage
/** All that there was before the rows of a table were sent. */
let before: string[]

beforeAll(async () => {
  stage = await openStage({ ...archiveFlags, scriptTime: '4s', maxConnections: '50' })
}, 60_000)

afterAll(() => stage[Symbol.asyncDispose]())

describe('an archive that is refused:', () => {
  rememberEverything()
  test.concurrent.each(archiveRows)('$name', async ({ archive, ...row }) => {
    await expectRefusal(
      await stage.send({
        target: `/start?${query({ token: stage.token, script: 'Pi.ts' })}`,
        ...packForm(archive(stage.outside)),
      }),
      row,
    )
  })
  expectEverythingAsBefore()
})

function query(parameters: Readonly<Record<string, string>>): string {
  return new URLSearchParams(parameters).toString()
}

function rememberEverything(): void {
  beforeAll(async () => {
    before = await stage.listEverything()
  })
}

/** The rows run side by side, so this is for all of them together. */
function expectEverythingAsBefore(): void {
  test('none of them left or touched anything', async () => {
    expect(await stage.listEverything()).toEqual(before)
  })
}

async function expectRefusal(answer: Received, { status, sentence }: Refused): Promise<void> {
  const problem = readProblem(stage, answer)
  expect(`${problem.message} ${problem.hint ?? ''}`).toMatch(sentence)
  expect([answer.status, problem.status]).toEqual([status, status])
  const next = await stage.client.post('/list', { token: stage.token })
  expect(next.status).toBe(200)
}
