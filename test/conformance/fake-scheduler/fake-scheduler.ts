import { fileURLToPath } from 'node:url'
import { requireSuccess, wordsOf } from '../../../src/environment/batch/answer.ts'
import {
  SchedulerOutputError,
  type Listed,
  type Listing,
  type Scheduler,
} from '../../../src/environment/batch/scheduler.ts'
import type { HostCommand } from '../../../src/environment/host.ts'

const program = fileURLToPath(new URL('queue.sh', import.meta.url))

/** The scheduler of `queue.sh`, whose state lies in this directory: for what real ones do not do on demand. */
export function fakeScheduler(state: string): Scheduler {
  const command = (verb: string, ...words: readonly string[]): HostCommand => ({
    argv: ['bash', program, verb, state, ...words],
  })
  return {
    name: 'Fake',
    resources: ['cpus', 'memoryBytes'],
    batchSizeAtMost: 30,
    index: '$FAKE_INDEX',
    directives: ({ name }) => [`#FAKE ${name}`],
    submit: (path, { name, size, logPath }) => command('submit', path, name, String(size), logPath),
    readSubmitted(result, { size }) {
      if (result.exitCode === 1) {
        const reason = wordsOf(result)
        return { kind: reason.includes('quota') ? 'deferred' : 'rejected', reason }
      }
      const id = /^(\d+)$/m.exec(result.stdout)?.[1]
      if (id === undefined) throw new SchedulerOutputError(`no number: ${wordsOf(result)}`)
      return { kind: 'accepted', nativeIds: Array.from({ length: size }, (_, index) => `${id}_${index}`) }
    },
    list: () => command('list'),
    readList(result) {
      requireSuccess('queue.sh', result)
      if (!result.stdout.includes('end of list\n')) throw new SchedulerOutputError('the list is cut short')
      const rows = new Map<string, Listed>()
      for (const line of result.stdout.split('\n')) {
        const [native, batchName, index, word] = line.split('|')
        if (native === undefined || batchName === undefined || word === undefined) continue
        rows.set(native, { listing: listingOf(word), batchName, index: Number(index) })
      }
      return rows
    },
    account: (ids) => command('account', ...ids),
    readAccount(result, isOurs = () => true) {
      requireSuccess('queue.sh', result)
      const listings = new Map<string, Listing>()
      for (const line of result.stdout.split('\n')) {
        const [native, word, code, name = ''] = line.split('|')
        if (native === undefined || word === undefined || !isOurs(native, name)) continue
        listings.set(native, word === 'ended' ? { kind: 'ended', exitCode: Number(code) } : listingOf(word))
      }
      return listings
    },
    cancel: (ids) => command('cancel', ...ids),
    readCancelled: (result) => requireSuccess('queue.sh', result),
    check: () => command('list'),
    readCheck: (result) => (result.exitCode === 0 ? undefined : wordsOf(result)),
  }
}

function listingOf(word: string): Listing {
  if (word === 'queued' || word === 'running') return { kind: word }
  if (word === 'cancelled') return { kind: 'stopped', cause: 'cancelled', message: 'cancelled in the queue' }
  if (word === 'killed-for-memory')
    return { kind: 'stopped', cause: 'out-of-memory', message: 'needed more memory' }
  if (word === 'stuck')
    return { kind: 'stuck', stopped: { kind: 'stopped', cause: 'unknown', message: 'would wait for ever' } }
  return { kind: 'unclear', message: `The state ${word} is not known.` }
}
