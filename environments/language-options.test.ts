import { expect, test } from 'vitest'
import { plugin as condorPlugin } from './condor/index.ts'
import { condor, pbs, sge, slurm } from './language.ts'
import { plugin as pbsPlugin } from './pbs/index.ts'
import { plugin as sgePlugin } from './sge/index.ts'
import { plugin as slurmPlugin } from './slurm/index.ts'

const shared = { host: 'login.example.org', time: '2 h', cpus: 2 }
const pilots = { pilots: { count: 2, slots: 4, time: '1 h' } }

/** What only one scheduler knows; what all of them take is `describeBatchPlugin`'s. */
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
