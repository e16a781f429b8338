import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { startTorque, torqueTree } from '../../test/daemons/torque.ts'
import { plugin } from './index.ts'

/** What the wrappers lack: qselect, the option -t of qstat, and that qsub puts logs where the script says. */
const shims = {
  qsub: '#!/bin/sh\ncd "${0%/*}" && exec "$TORQUE/qsub" "$@"\n',
  qselect: '#!/bin/sh\nexec squeue --noheader --format=%A\n',
  qstat:
    '#!/bin/bash\nwords=(); for word; do [ "$word" = -t ] || words+=("$word"); done\nexec "$TORQUE/qstat" "${words[@]}"\n',
}

/** No real PBS: Torque's commands as wrappers over Slurm, which lack arrays, accounting, exit codes and more. */
describeWith('torque', "Torque's commands over Slurm", () => {
  let torque: Awaited<ReturnType<typeof startTorque>>
  let programs: string
  beforeAll(async () => {
    // A node that a busy machine keeps silent is no lost node: its jobs would wait for it.
    torque = await startTorque({ slurmdTimeout: 120 })
    programs = mkdtempSync(join(tmpdir(), 'molehill-test-pbs-'))
    for (const [name, text] of Object.entries(shims))
      writeFileSync(join(programs, name), text.replace('$TORQUE', `${torqueTree}/usr/bin`), { mode: 0o755 })
  }, 60_000)
  afterAll(async () => {
    rmSync(programs, { recursive: true, force: true })
    await torque.stop()
  })

  const make = async (directory: string) => {
    // One by one: the wrappers do not list the jobs of an array apart.
    const how = { flavour: 'torque', submissionsPerMinute: 60_000, stopGraceMs: 2000, maxArraySize: 1 }
    return plugin.create('pbs', plugin.options.parse(how), {
      directory,
      variables: {
        ...process.env,
        ...torque.variables,
        PATH: `${programs}:${torque.variables['PATH']}`,
      },
      now: Date.now,
      warn: () => undefined,
    })
  }
  // Each job is a submission, and that a program in Perl: a fifth of a second alone, two thirds at a load of 30.
  describeEnvironment('pbs: wrappers over slurm', make, 180_000)
})
