import { afterAll, describe, expect, test } from 'vitest'
import { Trial } from '../../test/conformance/trial.ts'
import { presentBashes } from '../../test/helpers/bashes.ts'
import { plugin } from './index.ts'

const bashes = presentBashes()
afterAll(() => bashes.remove())

describe.each(bashes.all)('with bash $version, a job', ({ path }) => {
  test('that a signal ended is told from one that exits with the code that a shell gives it', async () => {
    const trial = new Trial((directory) =>
      plugin.create('local', plugin.options.parse({ slots: 2 }), {
        directory,
        variables: { ...process.env, PATH: path },
        now: Date.now,
        warn: () => undefined,
      }),
    )
    await trial.open()
    try {
      const names = ['HUP', 'INT', 'ABRT', 'KILL', 'USR1', 'USR2', 'PIPE', 'ALRM', 'TERM']
      const numbers = [1, 2, 6, 9, 10, 12, 13, 14, 15]
      // One by one: what a launcher said of the job before is none of this one's.
      const requests = numbers.flatMap((number) => [
        trial.request(['bash', '-c', `kill -${number} $$`]),
        trial.request(['bash', '-c', `exit ${128 + number}`]),
        trial.request(['bash', '-c', `exit ${128 + number} # Exit ${128 + number} `]),
        trial.request(['bash', '-c', `kill -${number} $$ # Exit ${128 + number} `]),
      ])
      expect(await trial.runAll(requests)).toMatchObject(
        names.flatMap((name, index) => {
          const stopped = { kind: 'stopped', cause: 'signal', message: expect.stringContaining(`SIG${name}`) }
          const exited = { kind: 'exited', exitCode: 128 + numbers[index]! }
          return [stopped, exited, exited, stopped]
        }),
      )
    } finally {
      await trial.close()
    }
  }, 60_000)
})
