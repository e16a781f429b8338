import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { makeOwned, readAccount } from './account.ts'
import type { Enclosure } from './enclosure.ts'
import { accountingConfiguration, portOffsets, type SlurmPlace } from './slurm-configuration.ts'

// One password for a database that listens on loopback and dies with the test.
const grants = ['127.0.0.1', 'localhost']
  .map(
    (host) => `create user 'slurm'@'${host}' identified by 'test';
      grant all on slurm_acct_db.* to 'slurm'@'${host}';`,
  )
  .join('\n')

/** Starts a database of its own and slurmdbd; munged must run already. Returns when slurmdbd listens. */
export async function startAccounting(
  enclosure: Enclosure,
  place: SlurmPlace,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  const { directory } = place
  const account = await readAccount()
  const data = join(directory, 'database')
  const socket = join(data, 'socket')
  const as = ['setpriv', '--reuid', account.user, '--regid', String(account.groupId), '--init-groups']
  await makeOwned(data, account)
  await enclosure.run([
    ...as,
    'mariadb-install-db',
    '--no-defaults',
    `--datadir=${data}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
  ])
  await enclosure.launch(
    [
      ...as,
      'mariadbd',
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${socket}`,
      '--bind-address=127.0.0.1',
      `--port=${place.firstPort + portOffsets.database}`,
      '--innodb-buffer-pool-size=128M',
      '--innodb-log-file-size=64M',
      '--innodb-lock-wait-timeout=900',
      // nothing has to outlive a power cut
      '--innodb-flush-log-at-trx-commit=0',
      '--sync-binlog=0',
      '--skip-log-bin',
      '--skip-name-resolve',
    ],
    'mariadb.log',
  )
  const sql = ['mariadb', '--no-defaults', '-uroot', `--socket=${socket}`]
  let last = ''
  await until(
    'MariaDB answers',
    async () => {
      const { code, stderr } = await enclosure.try([...sql, '-e', 'select 1'])
      last = stderr
      return code === 0 || undefined
    },
    () => last,
    60_000,
  )
  await enclosure.run(sql, { input: `create database slurm_acct_db;\n${grants}\n` })
  await writeFile(join(directory, 'slurmdbd.conf'), accountingConfiguration(place), { mode: 0o600 })
  await enclosure.run(['slurmdbd'], { variables })
  await untilListening(enclosure, place.firstPort + portOffsets.accounting, 'slurmdbd.log')
}

/** Waits for a port of 127.0.0.1; says what the log says when nothing comes. */
export async function untilListening(enclosure: Enclosure, port: number, log: string): Promise<void> {
  let said = ''
  await until(
    `port ${port} answers`,
    async () => {
      const { code } = await enclosure.try(['bash', '-c', `: </dev/tcp/127.0.0.1/${port}`])
      if (code !== 0) said = await enclosure.readLog(log)
      return code === 0 || undefined
    },
    () => said,
    60_000,
  )
}
