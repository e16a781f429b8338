import { expect, test } from 'vitest'
import type { BatchReferenceOptions } from '../src/environment/batch/reference-options.ts'
import { plugin as condorPlugin } from './condor/index.ts'
import { condor, pbs, sge, slurm } from './language.ts'
import { plugin as pbsPlugin } from './pbs/index.ts'
import { plugin as sgePlugin } from './sge/index.ts'
import { plugin as slurmPlugin } from './slurm/index.ts'
import { plugin as sshPlugin } from './ssh/index.ts'

/** Every option that all of them have, so that none can be said that is then refused. */
const shared: Required<Omit<BatchReferenceOptions, 'extraDirectives' | 'pilots'>> = {
  name: 'cluster',
  host: 'login.example.org',
  user: 'ada',
  port: 2222,
  identityFile: '~/.ssh/id_ed25519',
  jump: 'gate',
  knownHostsFile: '/etc/known',
  acceptNew: true,
  connectTimeoutMs: 5000,
  keepAliveMs: 5000,
  loginProfile: false,
  workDirectory: '~/jobs',
  sharesFiles: true,
  time: '2 h',
  memory: '4 GB',
  cpus: 2,
  modules: ['gcc/12.2'],
  prologue: ['export X=1'],
  maxArraySize: 50,
  maxQueued: 500,
  submissionsPerMinute: 10,
  stopGraceMs: 1000,
  lostAfter: '30 min',
  pollMs: { min: 500, max: 5000 },
}

/** No option that only one node could not honour stands beside it. */
const pilots: BatchReferenceOptions = { pilots: { count: 2, slots: 4, time: '1 h', idleMs: 30_000 } }

test.each([
  [
    slurmPlugin,
    slurm({
      ...shared,
      partition: 'short',
      account: 'a',
      qos: 'q',
      gpus: 1,
      gres: 'nvme',
      nodes: 1,
      tasks: 1,
      constraint: ['x', 'y'],
      reservation: 'r',
      wckey: 'w',
      exclusive: true,
      extraDirectives: ['--mail-type=END'],
    }),
  ],
  [slurmPlugin, slurm({ rest: { socket: '/run/slurmrestd', apiVersion: 'v0.0.40', user: 'ada' } })],
  [slurmPlugin, slurm()],
  [slurmPlugin, slurm({ ...shared, ...pilots, gpus: 1 })],
  [sgePlugin, sge({ ...shared, ...pilots })],
  [condorPlugin, condor({ ...shared, ...pilots })],
  [pbsPlugin, pbs({ ...shared, ...pilots, flavour: 'torque' })],
  [
    sgePlugin,
    sge({
      ...shared,
      queue: 'all.q',
      project: 'p',
      parallelEnvironment: 'smp',
      resources: 'gpu=1',
      extraDirectives: ['-m e'],
    }),
  ],
  [
    condorPlugin,
    condor({
      ...shared,
      gpus: 1,
      requirements: 'Memory > 1',
      accountingGroup: 'g',
      shouldTransferFiles: 'NO',
      extraDirectives: ['nice_user = true'],
    }),
  ],
  [
    pbsPlugin,
    pbs({
      ...shared,
      flavour: 'pbspro',
      queue: 'q',
      account: 'a',
      project: 'p',
      nodes: 2,
      gpus: 1,
      extraDirectives: ['-m e'],
    }),
  ],
])('all that a script can say is understood: $kind', (plugin, reference) => {
  expect(reference.kind).toBe(plugin.kind)
  expect(plugin.options.safeParse(reference.options)).toMatchObject({ success: true })
})

test.each([
  [{ user: 'ada' }, 'needs the option host'],
  [{ pilots: { count: 1, slots: 2, time: '1 h' }, nodes: 2 }, 'has no meaning beside pilots'],
  [{ rest: { url: 'http://head:6820', apiVersion: 'v0.0.40' } }, 'is needed for rest.url'],
  [{ rest: { apiVersion: 'v0.0.40' } }, 'either url or socket'],
  [{ rest: { url: 'ftp://head', apiVersion: 'v0.0.40' }, token: 'x' }, 'Invalid URL'],
  [{ rest: { socket: '/s', apiVersion: '40' } }, 'expected v0.0.36 or newer'],
  [{ rest: { socket: '/s', apiVersion: 'v0.0.40' }, extraDirectives: ['--x'] }, 'reads no directives'],
  [{ pollMs: { min: 500, max: 100 } }, 'min must not be more than max'],
  [{ workDirectory: 'relative' }, 'expected an absolute path'],
])('options that do not fit one another are refused: %j', (options, message) => {
  const { error } = slurmPlugin.options.safeParse(options)
  expect(error?.issues.map((issue) => issue.message).join(' ')).toContain(message)
})

test.each([sshPlugin, slurmPlugin, pbsPlugin, sgePlugin, condorPlugin])(
  'scripts cannot give $kind a configuration of ssh, which may name programs that the server would run',
  ({ operatorOnly }) => expect(operatorOnly).toContain('configFile'),
)
