import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { batchOptionsShape } from './batch-options.ts'
import { batchPlugin } from './batch-plugin.ts'
import type { Scheduler } from './scheduler.ts'

/** Only its check is run: the variables that its commands have. */
function schedulerThatTells(variables: string[], passedVariables?: readonly string[]): Scheduler {
  const none = { argv: ['true'] }
  return {
    name: 'Teller',
    resources: [],
    batchSizeAtMost: 1,
    index: '0',
    ...(passedVariables !== undefined && { passedVariables }),
    directives: () => [],
    submit: () => none,
    readSubmitted: () => ({ kind: 'deferred', reason: 'none is taken' }),
    list: () => none,
    readList: () => new Map(),
    cancel: () => none,
    readCancelled: () => undefined,
    check: () => ({ argv: ['env'] }),
    readCheck: ({ stdout }) => {
      for (const line of stdout.split('\n')) variables.push(line.split('=', 1)[0]!)
      return undefined
    },
  }
}

test.each([
  [undefined, []],
  [['QUEUE_SOCKET'], ['QUEUE_SOCKET']],
  [['QUEUE_*'], ['QUEUE_SOCKET', 'QUEUE_ROOT']],
])(
  'commands get those of the server’s variables that their scheduler names (%j), and no others',
  async (named, expected) => {
    const directory = mkdtempSync(join(tmpdir(), 'molehill-test-batch-'))
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const variables: string[] = []
    const plugin = batchPlugin('teller', z.strictObject(batchOptionsShape), () =>
      schedulerThatTells(variables, named),
    )
    const given = { QUEUE_SOCKET: '/s', QUEUE_ROOT: '/r', NOT_QUEUE_ROOT: '/n', SECRET: 'x', LANG: 'tr_TR' }
    const environment = await plugin.create('teller', plugin.options.parse({}), {
      directory,
      variables: { PATH: process.env['PATH'], HOME: '/h', ...given },
      now: Date.now,
      warn: () => undefined,
    })
    await environment.check(new AbortController().signal)
    await environment.close()
    expect(variables).toEqual(expect.arrayContaining(['PATH', 'HOME']))
    expect(Object.keys(given).filter((name) => variables.includes(name))).toEqual(expected)
  },
)
