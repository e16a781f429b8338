import { statSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { isJobId, type JobRequest, type Resources } from './environment.ts'
import { segmentsOf } from './view.ts'

/** Longer timers do not exist in Node: they would fire at once. */
const longestTimerMs = 2 ** 31 - 1

/** Why an environment that manages the resources in `honoured` can never run the request; undefined where it can. */
export function refusalOf(request: JobRequest, honoured: readonly (keyof Resources)[]): string | undefined {
  return (
    refusalOfCommand(request) ?? refusalOfResources(request.resources, honoured) ?? refusalOfFiles(request)
  )
}

function refusalOfCommand({ id, command, env }: JobRequest): string | undefined {
  if (!isJobId(id))
    return `The job id ${JSON.stringify(id)} is not a letter followed by at most 199 letters, digits and hyphens.`
  if (command.length === 0 || command[0] === '') return 'The command names no program.'
  if (command.some((word) => word.includes('\0'))) return 'An argument of the command holds a NUL character.'
  for (const [name, value] of Object.entries(env)) {
    if (name === '' || /[=\0]/.test(name)) return `${JSON.stringify(name)} cannot be the name of a variable.`
    if (value.includes('\0')) return `The variable ${name} holds a NUL character.`
  }
  return undefined
}

function refusalOfResources(
  resources: Resources,
  honoured: readonly (keyof Resources)[],
): string | undefined {
  for (const [name, amount] of Object.entries(resources)) {
    if (amount === undefined) continue
    if (!honoured.some((known) => known === name))
      return `The environment does not manage ${name}; it honours ${honoured.join(', ') || 'no resources'}.`
    if (!(amount > 0)) return `${name} is ${String(amount)}; it must be more than 0.`
  }
  if (resources.cpus !== undefined && !Number.isInteger(resources.cpus))
    return `cpus is ${resources.cpus}; it must be a whole number.`
  if ((resources.wallTimeMs ?? 0) > longestTimerMs)
    return `wallTimeMs is ${String(resources.wallTimeMs)}; the longest is ${longestTimerMs} (24 days).`
  return undefined
}

function refusalOfFiles({ workDirectory, inputs, shared, outputs }: JobRequest): string | undefined {
  if (!isAbsolute(workDirectory)) return `The work directory ${workDirectory} is not an absolute path.`
  if (statSync(workDirectory, { throwIfNoEntry: false })?.isDirectory() !== true)
    return `The work directory ${workDirectory} does not exist.`
  for (const { from, to } of [...inputs, ...(shared ?? [])]) {
    if (segmentsOf(to) === undefined)
      return `The input ${JSON.stringify(to)} does not lie inside the job directory.`
    if (!isAbsolute(from) || statSync(from, { throwIfNoEntry: false }) === undefined)
      return `The input ${JSON.stringify(to)} comes from ${JSON.stringify(from)}, which does not exist.`
  }
  for (const { path } of outputs)
    if (segmentsOf(path) === undefined)
      return `The output ${JSON.stringify(path)} does not lie inside the job directory.`
  return undefined
}
