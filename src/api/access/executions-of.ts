import type { Executions } from '../../engine/contract.ts'
import { Problem } from '../../problem.ts'
import { ownerOf, type Principal } from './principal.ts'

/** What a dialect sees of the engine: the executions of whoever asks. */
export type OwnExecutions = Omit<Executions, 'close' | 'queueLength' | 'environments' | 'lookAgain'>

/**
 * The executions of a principal, all of them for the operator. Others are to him as if they were not there, and what
 * he starts is his. Throws Problem token-invalid for nobody.
 */
export function executionsOf(executions: OwnExecutions, principal: Principal): OwnExecutions {
  if (principal.kind === 'operator') return executions
  const owner = ownerOf(principal)
  const own = (id: string): string => {
    if (executions.summary(id).owner !== owner) throw new Problem('execution-unknown', 'Execution not found')
    return id
  }
  return {
    start: (request) => executions.start({ ...request, owner }),
    validate: (request) => executions.validate({ ...request, owner }),
    state: (id) => executions.state(own(id)),
    ended: async (id, signal) => executions.ended(own(id), signal),
    output: async (id) => executions.output(own(id)),
    printing: async (id) => executions.printing(own(id)),
    workDirectory: (id) => executions.workDirectory(own(id)),
    jobs: (id, query) => executions.jobs(own(id), query),
    events: (id, after, signal) => executions.events(own(id), after, signal),
    explain: (id, job) => executions.explain(own(id), job),
    cancel: async (id) => executions.cancel(own(id)),
    remove: async (id) => executions.remove(own(id)),
    storedBytes: async (id) => executions.storedBytes(own(id)),
    summary: (id) => executions.summary(own(id)),
    list: (query) => executions.list({ ...query, owner }),
  }
}
