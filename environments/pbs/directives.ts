import type { Resources } from '../../src/environment/environment.ts'
import type { Batch } from '../../src/environment/batch/scheduler.ts'
import type { PbsDirectiveOptions } from './options.ts'

/** The `#PBS` lines of a batch's script, by flavour: qsub(1B) of PBS Professional and of Torque. */
export function directivesOf(batch: Batch, options: PbsDirectiveOptions): readonly string[] {
  const isArray = batch.size > 1
  const isPro = options.flavour === 'pbspro'
  const { wallTimeMs } = batch.resources
  return [
    `-N ${batch.name}`,
    ...(isArray ? [`${isPro ? '-J' : '-t'} 0-${batch.size - 1}`] : []),
    // PBS Pro refuses arrays that may not run again; the job itself sees to it that it runs once.
    ...(isArray && isPro ? [] : ['-r n']),
    '-S /bin/bash',
    '-j oe',
    // Torque adds the index by itself.
    `-o ${word(isArray && isPro ? `${batch.logPath}.^array_index^` : batch.logPath)}`,
    ...(options.queue === undefined ? [] : [`-q ${options.queue}`]),
    ...(options.account === undefined ? [] : [`-A ${options.account}`]),
    ...(options.project === undefined ? [] : [`-P ${options.project}`]),
    ...(isPro ? selection(batch.resources) : nodes(batch.resources)),
    ...(wallTimeMs === undefined ? [] : [`-l walltime=${clock(Math.ceil(wallTimeMs / 1000))}`]),
    ...options.extraDirectives,
  ].map((line) => `#PBS ${line}`)
}

/** PBS Pro: so many chunks, each on a node of its own; all amounts are those of one chunk. */
function selection({ cpus, memoryBytes, gpus, nodes }: Resources): readonly string[] {
  if ([cpus, memoryBytes, gpus, nodes].every((each) => each === undefined)) return []
  const chunk = [
    `select=${nodes ?? 1}`,
    `ncpus=${cpus ?? 1}`,
    ...(memoryBytes === undefined ? [] : [`mem=${megabytes(memoryBytes)}mb`]),
    ...(gpus === undefined ? [] : [`ngpus=${gpus}`]),
  ].join(':')
  return [`-l ${chunk}`, ...((nodes ?? 1) > 1 ? ['-l place=scatter'] : [])]
}

/** Torque: so many nodes; memory is that of the whole job. */
function nodes({ cpus, memoryBytes, gpus, nodes }: Resources): readonly string[] {
  const isAsked = [cpus, gpus, nodes].some((each) => each !== undefined)
  const places = [
    `nodes=${nodes ?? 1}`,
    `ppn=${cpus ?? 1}`,
    ...(gpus === undefined ? [] : [`gpus=${gpus}`]),
  ].join(':')
  return [
    ...(isAsked ? [`-l ${places}`] : []),
    ...(memoryBytes === undefined ? [] : [`-l mem=${megabytes(memoryBytes)}mb`]),
  ]
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20)
}

function clock(seconds: number): string {
  const two = (number: number) => String(number).padStart(2, '0')
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

function word(path: string): string {
  return /^[\w/.,:=@%+^-]+$/.test(path) ? path : `"${path.replaceAll(/["\\]/g, '\\$&')}"`
}
