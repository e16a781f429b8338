import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { boxCommand } from '../../src/isolation/box-command.ts'
import { hasBox } from '../../src/isolation/isolation.ts'
import { probeIsolation } from '../../src/isolation/probe.ts'
import { Trial } from '../../test/conformance/trial.ts'
import { plugin } from './index.ts'

const isolation = await probeIsolation('best-effort', process.env)

test.runIf(hasBox(isolation))('processes that left the group of their job end with it', async () => {
  const trial = new Trial((directory) =>
    plugin.create('local', plugin.options.parse({ slots: 1 }), {
      directory,
      variables: process.env,
      now: Date.now,
      warn: () => undefined,
      boxes: {
        isPerJob: false,
        placeOf: (path) => path,
        command: (command, view) =>
          boxCommand(isolation, command, { ...view, base: 'computer', hidden: [], network: true }),
      },
    }),
  )
  await trial.open()
  try {
    const seconds = `97${process.pid}`
    const { end } = await trial.run(
      trial.shell(
        `setsid sh -c 'for i in 1 2 3 4 5; do sleep ${seconds} & done; echo > left; wait' & until [ -e left ]; do sleep 0.05; done; exit 3`,
      ),
    )
    expect(end).toMatchObject({ kind: 'exited', exitCode: 3 })
    expect(processesOf(`sleep\0${seconds}`)).toEqual([])
    // The launcher goes on with the next job.
    expect((await trial.run(trial.shell('echo next'))).stdout).toBe('next\n')
  } finally {
    await trial.close()
  }
})

function processesOf(command: string): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLineOf(pid).startsWith(command))
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
