import type { Batch } from '../../src/environment/batch/scheduler.ts'
import type { CondorDescriptionOptions } from './options.ts'

/** Told in HoldReasonSubCode when our own expression found too much memory in use. */
export const memorySubCode = 4077

/** The submit description of a batch, for condor_submit's standard input: condor_submit(1). */
export function descriptionOf(scriptPath: string, batch: Batch, options: CondorDescriptionOptions): string {
  const { cpus, memoryBytes, gpus, wallTimeMs } = batch.resources
  // Put back after an eviction, a job would run again: that would be another attempt of ours.
  const once = '(NumJobStarts == 0)'
  const lines = [
    'universe = vanilla',
    'executable = /bin/bash',
    `arguments = "${argument(scriptPath)}"`,
    'transfer_executable = false',
    `should_transfer_files = ${options.shouldTransferFiles}`,
    `initialdir = ${value(batch.directory)}`,
    // A file for each: they would cut each other's.
    `output = ${value(batch.logPath)}.$(Process)`,
    `error = ${value(batch.logPath)}.$(Process)`,
    `log = ${value(batch.logPath)}`,
    `batch_name = ${batch.name}`,
    'environment = "MOLEHILL_BATCH_INDEX=$(Process)"',
    'getenv = HOME, LANG, LC_*, LOGNAME, PATH, TZ, USER',
    'periodic_remove = JobStatus == 1 && NumJobStarts > 0',
    `requirements = ${options.requirements === undefined ? once : `(${options.requirements}) && ${once}`}`,
    ...(cpus === undefined ? [] : [`request_cpus = ${cpus}`]),
    ...(memoryBytes === undefined
      ? []
      : [
          `request_memory = ${Math.ceil(memoryBytes / 2 ** 20)}`,
          'periodic_hold = JobStatus == 2 && MemoryUsage > RequestMemory',
          `periodic_hold_subcode = ${memorySubCode}`,
          'periodic_hold_reason = "the job needs more memory than it asked for"',
        ]),
    ...(gpus === undefined ? [] : [`request_gpus = ${gpus}`]),
    ...(wallTimeMs === undefined ? [] : [`allowed_execute_duration = ${Math.ceil(wallTimeMs / 1000)}`]),
    ...(options.accountingGroup === undefined ? [] : [`accounting_group = ${options.accountingGroup}`]),
    ...options.extraDirectives,
    `queue ${batch.size}`,
  ]
  return `${lines.join('\n')}\n`
}

/** One argument between the double quotes of the new syntax: in single quotes, both kinds of quotes doubled. */
function argument(text: string): string {
  return `'${value(text).replaceAll("'", "''").replaceAll('"', '""')}'`
}

/** Text in which no macro is looked for. */
function value(text: string): string {
  return text.replaceAll('$(', '$(DOLLAR)(')
}
