import type { Executions } from '../engine/contract.ts'
import { sizeOfTree } from '../files/tree-size.ts'
import { Problem } from '../problem.ts'
import type { UserQuota, Users } from './contract.ts'

/** How much of the server users may take. The operator, whose name is empty, may take all. */
export interface Quotas {
  /** What holds for a user: his own limits, and those of the server where he has none. */
  of(owner: string): UserQuota
  /** Bytes of all that is kept of a user. Costs a look at each file of what runs and of what he has uploaded. */
  storedBytes(owner: string): Promise<number>
  /** What a user may still send; undefined where that is not limited. Throws Problem quota-exceeded where it is nothing. */
  uploadRoom(owner: string): Promise<UploadRoom | undefined>
  /**
   * Stores so many bytes more by `store`. Counts with them what the user is storing and starting at the same time: many
   * at once get no more room than one after the other. Throws Problem quota-exceeded, token-invalid for a user who is gone,
   * and what `store` throws.
   */
  keep<Stored>(owner: string, bytes: number, store: () => Promise<Stored>): Promise<Stored>
  /** The same executions, whose starts are refused where a quota is used up. */
  limit(executions: Executions): Executions
}

/** Something that is being stored, or an execution that is being started. */
interface Arrival {
  readonly owner: string
  /** Zero until it is known. */
  bytes: number
}

/** How much may still come. */
export interface UploadRoom {
  readonly bytes: number
  /** What is told to who sends more. */
  readonly exceeded: () => Problem
}

export interface QuotaParts {
  readonly users: Pick<Users, 'find'>
  readonly executions: Pick<Executions, 'list' | 'state' | 'storedBytes'>
  /** For users without limits of their own. */
  readonly defaults: UserQuota
  /** Bytes of what is kept of a user besides his executions. */
  readonly otherBytes: (owner: string) => Promise<number>
}

export function createQuotas({ users, executions, defaults, otherBytes }: QuotaParts): Quotas {
  const starting = new Set<Arrival>()
  /** All whose bytes are known but may not be stored yet, in the order in which they became known. */
  const arriving = new Set<Arrival>()
  const of = (owner: string): UserQuota => (owner === '' ? {} : { ...defaults, ...users.find(owner)?.quota })
  const startsOf = (owner: string): number => [...starting].filter((each) => each.owner === owner).length
  /** What has come before `last`, and that itself. */
  const storedBytes = async (owner: string, last?: Arrival): Promise<number> => {
    // Looked at before what is stored: what gets stored meanwhile may be counted twice, but never not at all.
    let bytes = arrivingBytes(owner, last)
    bytes += await otherBytes(owner)
    for (const { id } of executions.list({ owner })) bytes += await bytesOf(id)
    return bytes
  }
  const arrivingBytes = (owner: string, last: Arrival | undefined): number => {
    let bytes = 0
    for (const each of arriving) {
      if (each.owner === owner) bytes += each.bytes
      if (each === last) break
    }
    return bytes
  }
  /** Counts bytes from here on. Throws Problem quota-exceeded where these are too many. */
  const arrive = async (own: Arrival): Promise<void> => {
    arriving.add(own)
    const { owner } = own
    const { storedBytes: most } = of(owner)
    if (most === undefined) return
    const stored = await storedBytes(owner, own)
    if (stored > most) throw tooMuchStored(owner, stored - own.bytes, most)
  }
  const bytesOf = async (id: string): Promise<number> =>
    executions.storedBytes(id).catch((error: unknown) => {
      // Removed meanwhile.
      if (error instanceof Problem && error.code === 'execution-unknown') return 0
      throw error
    })
  const uploadRoom = async (owner: string): Promise<UploadRoom | undefined> => {
    const { storedBytes: most } = of(owner)
    if (most === undefined) return undefined
    const stored = await storedBytes(owner)
    const exceeded = () => tooMuchStored(owner, stored, most)
    if (stored >= most) throw exceeded()
    return { bytes: most - stored, exceeded }
  }
  const checkQueue = (owner: string): void => {
    const { queuedJobs: most } = of(owner)
    if (most === undefined) return
    // Of a start under way nobody knows yet how many jobs it brings: one at least.
    const waiting = waitingJobs(executions, owner) + startsOf(owner)
    if (waiting > most) throw tooManyQueued(owner, waiting - 1, most)
  }
  return {
    of,
    storedBytes: (owner) => storedBytes(owner),
    uploadRoom,
    async keep(owner, bytes, store) {
      const own = { owner, bytes }
      try {
        if (owner !== '') requireUser(users, owner)
        await arrive(own)
        return await store()
      } finally {
        arriving.delete(own)
      }
    },
    limit: (whole) => ({
      ...bind(whole),
      async start(request) {
        const { owner = '' } = request
        if (owner === '' || !('fill' in request)) return whole.start(request)
        const own = { owner, bytes: 0 }
        const since = users.find(owner)?.createdAt
        try {
          const id = await whole.start({
            ...request,
            // Not before: what is sent again under its key gives what was started, whatever the quotas are now.
            async fill(workDirectory) {
              requireUser(users, owner)
              starting.add(own)
              checkQueue(owner)
              const room = await uploadRoom(owner)
              const evaluation = await request.fill(workDirectory)
              if (room === undefined) return evaluation
              own.bytes = await sizeOfTree(workDirectory)
              await arrive(own)
              return evaluation
            },
          })
          // Whoever removes a user has not seen what was only being started; one of his name may be there again.
          if (since !== undefined && users.find(owner)?.createdAt === since) return id
          await whole.remove(id)
          throw userGone(owner)
        } finally {
          starting.delete(own)
          arriving.delete(own)
        }
      },
    }),
  }
}

function bind(whole: Executions): Executions {
  return {
    start: (request) => whole.start(request),
    validate: (request) => whole.validate(request),
    state: (id) => whole.state(id),
    ended: (id, signal) => whole.ended(id, signal),
    output: (id) => whole.output(id),
    printing: (id) => whole.printing(id),
    workDirectory: (id) => whole.workDirectory(id),
    jobs: (id, query) => whole.jobs(id, query),
    events: (id, after, signal) => whole.events(id, after, signal),
    explain: (id, job) => whole.explain(id, job),
    cancel: (id) => whole.cancel(id),
    remove: (id) => whole.remove(id),
    summary: (id) => whole.summary(id),
    list: (query) => whole.list(query),
    storedBytes: (id) => whole.storedBytes(id),
    lookAgain: (owner) => whole.lookAgain(owner),
    get queueLength() {
      return whole.queueLength
    },
    get environments() {
      return whole.environments
    },
    close: () => whole.close(),
  }
}

/** Jobs that wait in all executions of a user that have not ended. */
function waitingJobs(executions: QuotaParts['executions'], owner: string): number {
  return executions
    .list({ owner })
    .filter(({ state }) => state === 'running')
    .reduce((sum, { id }) => sum + executions.state(id).counts.ready, 0)
}

function requireUser(users: QuotaParts['users'], owner: string): void {
  if (users.find(owner) === undefined) throw userGone(owner)
}

function userGone(owner: string): Problem {
  return new Problem('token-invalid', `There is no user named ${owner} any more.`)
}

function tooMuchStored(owner: string, stored: number, most: number): Problem {
  return new Problem(
    'quota-exceeded',
    `${owner} may keep ${showMebibytes(most)} MiB, and has ${showMebibytes(stored)} MiB: there is no room for this.`,
    { hint: 'Remove executions and files that are not needed any more, or ask the operator for more room.' },
  )
}

function tooManyQueued(owner: string, waiting: number, most: number): Problem {
  return new Problem(
    'quota-exceeded',
    `${owner} may have ${most} jobs waiting when more are started, and has ${waiting}.`,
    { hint: 'Try again when some have started, or cancel executions.', retryAfterSeconds: 30 },
  )
}

function showMebibytes(bytes: number): string {
  return (Math.ceil((bytes / 2 ** 20) * 10) / 10).toLocaleString('en-US')
}
