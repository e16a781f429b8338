import type { Batch } from '../../src/environment/batch/scheduler.ts'
import type { SlurmDirectiveOptions } from './options.ts'

/** The `#SBATCH` lines of a batch's script. */
export function directivesOf(batch: Batch, options: SlurmDirectiveOptions): readonly string[] {
  const { cpus, memoryBytes, gpus, nodes, wallTimeMs } = batch.resources
  const gres = [...(gpus === undefined ? [] : [`gpu:${gpus}`]), ...options.gres]
  const lines: readonly (readonly [string, string | number | undefined])[] = [
    ['--job-name', batch.name],
    ['--array', batch.size === 1 ? undefined : `0-${batch.size - 1}`],
    ['--chdir', batch.directory],
    // Percent signs stand for ids otherwise. (A backslash cannot be meant as one in this option.)
    ['--output', batch.logPath.replaceAll('%', '%%')],
    ['--open-mode', 'append'],
    ['--partition', options.partition],
    ['--account', options.account],
    ['--qos', options.qos],
    ['--time', wallTimeMs === undefined ? undefined : Math.ceil(wallTimeMs / 60_000)],
    ['--mem', memoryBytes === undefined ? undefined : `${Math.ceil(memoryBytes / 2 ** 20)}M`],
    ['--nodes', nodes],
    ['--ntasks', options.tasks],
    ['--cpus-per-task', cpus],
    ['--gres', gres.length === 0 ? undefined : gres.join(',')],
    ['--constraint', options.constraint.length === 0 ? undefined : options.constraint.join('&')],
    ['--reservation', options.reservation],
    ['--wckey', options.wckey],
  ]
  return [
    // A job that runs again is another attempt of ours: states never go back.
    '#SBATCH --no-requeue',
    ...lines.flatMap(([name, value]) =>
      value === undefined ? [] : [`#SBATCH ${name}=${directiveWord(String(value))}`],
    ),
    ...(options.exclusive ? ['#SBATCH --exclusive'] : []),
    ...options.extraDirectives.map((line) => `#SBATCH ${line}`),
  ]
}

/** A value as sbatch reads it in a script: in double quotes where it holds more than plain characters. */
function directiveWord(value: string): string {
  return /^[\w/.,:;=@%+&|()[\]*-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`
}
