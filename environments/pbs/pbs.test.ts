import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import { LocalHost } from '../../src/environment/local-host.ts'
import { describeEnvironment } from '../../test/conformance/environment.ts'
import { describePilots } from '../../test/conformance/pilots.ts'
import { sshAccount, type SshAccount } from '../../test/conformance/ssh-account.ts'
import { describeWith } from '../../test/daemons/present.ts'
import { runCommand } from '../../test/daemons/run-command.ts'
import { startSshd, type Sshd } from '../../test/daemons/sshd.ts'
import { startTorque, torqueTree } from '../../test/daemons/torque.ts'
import { plugin } from './index.ts'
import { pbsScheduler } from './scheduler.ts'

/** What the wrappers lack: qselect, the option -t of qstat, and that qsub puts logs where the script says. */
const shims = {
  qsub: '#!/bin/sh\ncd "${0%/*}" && exec "$TORQUE/qsub" "$@"\n',
  qselect: '#!/bin/sh\nexec squeue --noheader --format=%A\n',
  qstat:
    '#!/bin/bash\nwords=(); for word; do [ "$word" = -t ] || words+=("$word"); done\nexec "$TORQUE/qstat" "${words[@]}"\n',
}
// One by one: the wrappers do not list the jobs of an array apart.
const how = { flavour: 'torque', submissionsPerMinute: 60_000, stopGraceMs: 2000, maxArraySize: 1 }
/** Each job is a submission, and that a program in Perl: a fifth of a second alone, two thirds at a load of 30. */
const patienceMs = 180_000

/** No real PBS: Torque's commands as wrappers over Slurm, which lack arrays, accounting, exit codes and more. */
describeWith(['torque', 'sshd'], "Torque's commands over Slurm", () => {
  let torque: Awaited<ReturnType<typeof startTorque>>
  let programs: string
  let variables: Readonly<Record<string, string>>
  let server: Sshd
  let account: SshAccount
  beforeAll(async () => {
    // A node that a busy machine keeps silent is no lost node: its jobs would wait for it.
    torque = await startTorque({ slurmdTimeout: 120 })
    programs = mkdtempSync(join(tmpdir(), 'molehill-test-pbs-'))
    // Where the wrappers put logs, of whoever submits.
    chmodSync(programs, 0o1777)
    for (const [name, text] of Object.entries(shims))
      writeFileSync(join(programs, name), text.replace('$TORQUE', `${torqueTree}/usr/bin`), { mode: 0o755 })
    const path = `${programs}:${torque.variables['PATH']}`
    variables = { ...torque.variables, PATH: path }
    server = await startSshd({ greeting: 'Welcome to the cluster', variables })
    // What a site puts into its profile: the machine's own sets another PATH.
    writeFileSync(join(server.home, '.bash_profile'), `export PATH='${path}'\n`)
    account = sshAccount(server)
  }, 60_000)
  afterAll(async () => {
    rmSync(programs, { recursive: true, force: true })
    account.remove()
    await server.stop()
    await torque.stop()
  })

  const make = async (directory: string, more: Readonly<Record<string, unknown>> = {}) =>
    plugin.create('pbs', plugin.options.parse({ ...how, ...more }), {
      directory,
      variables: { ...process.env, ...variables },
      now: Date.now,
      warn: () => undefined,
    })

  describeEnvironment('pbs: wrappers over slurm', make, patienceMs)

  describeEnvironment(
    'pbs over ssh: wrappers over slurm',
    (directory) => make(directory, { ...account.options, workDirectory: account.workDirectory(directory) }),
    patienceMs,
  )

  describePilots('pbs: wrappers over slurm', {
    make: async (directory, pilots, watched) => {
      const options = plugin.options.parse({ ...how, pilots })
      const host = watched(new LocalHost({ variables }))
      const context = { directory, variables: {}, now: Date.now, warn: () => undefined }
      return openBatchEnvironment('pbs', pbsScheduler(options), options, context, { host })
    },
    submits: 'qsub',
    running: async () => {
      const list = await runCommand(['squeue', '-h', '-t', 'running', '-o', '%A'], { variables })
      return list.split('\n').filter(Boolean)
    },
    cancel: (nativeId) => runCommand(['qdel', nativeId], { variables }),
  })
})
