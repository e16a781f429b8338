import { z } from 'zod'
import { Problem } from '../../problem.ts'
import { removeTree } from '../../files/remove-tree.ts'
import type { KeptOfUsers } from '../../users/contract.ts'
import { executionsOf } from '../access/executions-of.ts'
import { rawRoute, type Dialect, type Route } from '../route.ts'
import { xml } from '../write-xml.ts'
import { abortBatch, retireBatch } from './abort.ts'
import { reply, unreadable } from './answers.ts'
import { sweepFiles } from './file-operations.ts'
import { outputRoutes } from './output-routes.ts'
import type { SubmissionParts, Submitter } from './parts.ts'
import { requestRoutes } from './request-routes.ts'
import { batchLabel, giveBack } from './submit.ts'

/** BOINC's web services for remote job submission, those of 2010 and those of today. */
export function boincSubmissionDialect(mount: Dialect['mount'], parts: SubmissionParts): Dialect {
  return {
    name: 'boinc-submission',
    mount,
    routes: [...requestRoutes(parts), ...outputRoutes(parts), countsRoute(parts)],
    kept: keptFiles(parts),
    // Clients of BOINC look at the body only, and some break on any other status.
    tellProblem: (problem: Problem) => reply(unreadable(problem.message)),
  }
}

/** Clears away batches whose submit was cut short when the server was stopped: nobody was told of them. */
export async function recoverSubmissions(parts: SubmissionParts): Promise<void> {
  const { store, executions } = parts
  for (const batch of store.batches().filter(({ phase }) => phase === 'making')) {
    const labels = { [batchLabel]: String(batch.id) }
    for (const { id } of executions.list({ owner: batch.owner, labels })) await executions.remove(id)
    store.transaction(() => giveBack(batch, parts))
  }
}

/** Does what is due: ends and hides batches whose time is past, and deletes files that nobody needs any more. */
export async function sweepSubmissions(retentionMs: number, parts: SubmissionParts): Promise<void> {
  const { store, now } = parts
  const submitterOf = (owner: string): Submitter => ({
    owner,
    executions: executionsOf(parts.executions, {
      kind: 'user',
      id: '',
      name: owner,
      rights: { submitter: true, workflows: 'catalog' },
    }),
  })
  for (const batch of store.batches()) {
    if (batch.expireAt === 0 || batch.expireAt > now() || batch.retiredAt > 0) continue
    const submitter = submitterOf(batch.owner)
    await abortBatch(batch, submitter, parts)
    await retireBatch(store.batch(batch.owner, { id: batch.id }) ?? batch, submitter, parts)
  }
  await sweepFiles(submitterOf, retentionMs, parts)
}

/** What is kept of a user besides his executions. */
function keptFiles({ store, uploadDirectory }: SubmissionParts): KeptOfUsers {
  return {
    storedBytes: (owner) => store.filesOf(owner).reduce((sum, { bytes }) => sum + bytes, 0),
    async forget(owner) {
      store.forget(owner)
      await removeTree(uploadDirectory(owner))
    },
  }
}

/** How much there is to do, as counts only. */
function countsRoute({ store, executions }: SubmissionParts): Route {
  return rawRoute({
    method: 'POST',
    path: '/server_status.php',
    access: 'open',
    summary: 'How many jobs wait and run.',
    parameters: z.object({}),
    body: 'either',
    problems: [],
    answer: { status: 200, description: 'An XML document.', contentType: 'text/xml' },
    handle() {
      const batches = new Set(store.batches().map(({ execution }) => execution))
      const states = executions
        .list()
        .filter(({ id, state }) => state === 'running' && batches.has(id))
        .map(({ id }) => executions.state(id).counts)
      const sum = (kind: 'ready' | 'running') => states.reduce((total, counts) => total + counts[kind], 0)
      return reply(
        xml(
          'job_counts',
          xml('results_ready_to_send', sum('ready')),
          xml('results_in_progress', sum('running')),
          ...[
            'results_need_file_delete',
            'wus_need_validate',
            'wus_need_assimilate',
            'wus_need_file_delete',
          ].map((name) => xml(name, 0)),
        ),
      )
    },
  })
}
