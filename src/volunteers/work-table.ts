import type { DatabaseSync } from 'node:sqlite'
import type { Replication } from '../environment/volunteers.ts'
import { parseCopyName } from './copy-names.ts'
import type { Definition } from './filing.ts'
import {
  copiesToJudge,
  copiesToSend,
  nextState,
  type Copy,
  type CopyState,
  type FailureCause,
  type WorkunitEvent,
  type WorkunitState,
} from './transitions.ts'

/** A copy, and to whom it went. */
export interface SentCopy extends Copy {
  readonly host: number
  readonly account: number
  readonly platform: string
  readonly sentAt: number
  readonly deadline: number
  readonly resends: number
  readonly isRunning: boolean
  readonly cpuSeconds: number
  readonly outputName: string
  /** Of the file that came whole; absent while none did. */
  readonly outputMd5?: string
}

export interface StoredWorkunit {
  readonly id: number
  readonly name: string
  readonly application: number
  readonly cpus: number
  readonly wasRunning: boolean
  readonly hostClass: string
  readonly state: WorkunitState
  readonly copies: readonly SentCopy[]
}

/** A copy that a host has been given and has not reported. */
export interface OpenCopy {
  readonly workunit: number
  readonly number: number
  /** Of the workunit. */
  readonly name: string
  readonly estimatedMs: number
  readonly diskBytes: number
}

/** A copy that changed, for what follows from it. */
export interface CopyChange {
  readonly copy: SentCopy
  readonly cpus: number
  readonly state: CopyState
  /** Whether anybody waited for it: its workunit had not ended before. */
  readonly wasAwaited: boolean
}

type WorkunitRow = Omit<StoredWorkunit, 'wasRunning' | 'state' | 'copies'> & {
  readonly kind: WorkunitState['kind']
  readonly cause: FailureCause | null
  readonly message: string | null
  readonly replication: string
  readonly wasRunning: number
  readonly copyCount: number
}
interface CopyRow extends Omit<
  SentCopy,
  'isRunning' | 'cause' | 'message' | 'digest' | 'endedAt' | 'outputMd5'
> {
  readonly isRunning: number
  readonly cause: FailureCause | null
  readonly message: string | null
  readonly digest: string | null
  readonly endedAt: number | null
  readonly outputMd5: string | null
}

const copyColumns = `number, host, account, platform, state, cause, message, digest, sent_at AS sentAt, deadline, resends,
  is_running AS isRunning, ended_at AS endedAt, cpu_seconds AS cpuSeconds, output_name AS outputName,
  output_md5 AS outputMd5`
const workunitColumns = `id, name, application, cpus, was_running AS wasRunning, host_class AS hostClass, kind, cause,
  message, replication, copies AS copyCount`

/** Workunits and their copies as they stand. `changed` hears the names of those whose progress changed. */
export function openWorkTable(database: DatabaseSync, changed: (name: string) => void) {
  const byName = database.prepare(`SELECT ${workunitColumns} FROM workunits WHERE name = ?`)
  const byId = database.prepare(`SELECT ${workunitColumns} FROM workunits WHERE id = ?`)
  const copies = database.prepare(`SELECT ${copyColumns} FROM copies WHERE workunit = ?`)
  const definition = database.prepare('SELECT definition FROM workunits WHERE id = ?')
  const putWorkunit = database.prepare(
    `UPDATE workunits SET kind = ?, cause = ?, message = ?, to_send = ?, copies = ?, is_started = ?, host_class = ?,
       to_judge = ? WHERE id = ?`,
  )
  const putCopy = database.prepare(
    'UPDATE copies SET state = ?, cause = ?, message = ?, digest = ?, ended_at = ? WHERE workunit = ? AND number = ?',
  )
  const addCopy = database.prepare(
    `INSERT INTO copies (workunit, number, host, account, platform, state, sent_at, deadline, output_name)
     VALUES (?, ?, ?, ?, ?, 'sent', ?, ?, ?)`,
  )
  const keepReport = database.prepare(
    'UPDATE copies SET cpu_seconds = ?, exit_status = ? WHERE workunit = ? AND number = ?',
  )
  const keepUpload = database.prepare(
    'UPDATE copies SET output_bytes = ?, output_md5 = ?, is_running = 1 WHERE workunit = ? AND number = ?',
  )
  const keepRunning = database.prepare('UPDATE copies SET is_running = 1 WHERE workunit = ? AND number = ?')
  const setWasRunning = database.prepare('UPDATE workunits SET was_running = 1 WHERE id = ?')
  const resend = database.prepare(
    'UPDATE copies SET resends = resends + 1, deadline = ? WHERE workunit = ? AND number = ?',
  )
  const openOfHost = database.prepare(
    `SELECT workunit, number, name, estimated_ms * cpus AS estimatedMs, disk_bytes AS diskBytes
     FROM copies JOIN workunits ON workunits.id = workunit WHERE host = ? AND state = 'sent' ORDER BY workunit, number`,
  )
  const overdue = database.prepare(
    `SELECT workunit, number FROM copies WHERE state = 'sent' AND deadline < ? ORDER BY deadline LIMIT ?`,
  )
  const toJudge = database.prepare(
    'SELECT id FROM workunits WHERE to_judge = 1 AND id > ? ORDER BY id LIMIT ?',
  )
  const forget = ['copies', 'files'].map((table) =>
    database.prepare(`DELETE FROM ${table} WHERE workunit = ?`),
  )
  const forgetWorkunit = database.prepare('DELETE FROM workunits WHERE id = ?')

  function complete(row: WorkunitRow | undefined): StoredWorkunit | undefined {
    if (row === undefined) return undefined
    const { id, name, application, cpus, hostClass, kind, cause, message } = row
    const sent = row.copyCount === 0 ? [] : (copies.all(id) as unknown as CopyRow[]).map(toCopy)
    const state: WorkunitState = {
      kind,
      ...(cause === null ? {} : { cause }),
      ...(message === null ? {} : { message }),
      replication: JSON.parse(row.replication) as Replication,
      copies: sent,
    }
    return { id, name, application, cpus, hostClass, wasRunning: row.wasRunning === 1, state, copies: sent }
  }

  /** Writes what differs, and tells which copies came to another state. */
  function keep(before: StoredWorkunit, state: WorkunitState, hostClass: string): CopyChange[] {
    const { id, name, cpus } = before
    const changes: CopyChange[] = []
    for (const copy of state.copies) {
      const sent = before.copies.find(({ number }) => number === copy.number)
      if (sent === undefined || sent === copy) continue
      putCopy.run(
        copy.state,
        copy.cause ?? null,
        copy.message ?? null,
        copy.digest ?? null,
        copy.endedAt ?? null,
        id,
        copy.number,
      )
      if (sent.state !== copy.state)
        changes.push({ copy: sent, cpus, state: copy.state, wasAwaited: before.state.kind === 'active' })
    }
    // Where nobody computes any more and nothing is there to be compared with, any kind of host will do.
    const isBound = state.copies.some((copy) => copy.state === 'sent' || copy.state === 'reported')
    putWorkunit.run(
      state.kind,
      state.cause ?? null,
      state.message ?? null,
      copiesToSend(state),
      state.copies.length,
      state.copies.length > 0 ? 1 : 0,
      isBound ? hostClass : '',
      copiesToJudge(state).length > 0 ? 1 : 0,
      id,
    )
    changed(name)
    return changes
  }

  return {
    find(name: string): StoredWorkunit | undefined {
      return complete(byName.get(name) as WorkunitRow | undefined)
    },

    get(id: number): StoredWorkunit | undefined {
      return complete(byId.get(id) as WorkunitRow | undefined)
    },

    /** The workunit of a copy; undefined where that name was never given out, or was forgotten. */
    findCopy(name: string): { workunit: StoredWorkunit; copy: SentCopy } | undefined {
      const key = parseCopyName(name)
      const workunit = key && complete(byName.get(key.workunit) as WorkunitRow | undefined)
      const copy = workunit?.copies.find(({ number }) => number === key?.number)
      return workunit === undefined || copy === undefined ? undefined : { workunit, copy }
    },

    definition(id: number): Definition {
      return JSON.parse(String(definition.get(id)?.['definition'])) as Definition
    },

    /** Brings an event to a workunit. Undefined where it changed nothing: then it did not count. */
    apply(workunit: StoredWorkunit, event: WorkunitEvent): readonly CopyChange[] | undefined {
      const state = nextState(workunit.state, event)
      return state === workunit.state ? undefined : keep(workunit, state, workunit.hostClass)
    },

    /** Notes that a host gets one more copy. */
    send(
      workunit: StoredWorkunit,
      copy: Pick<SentCopy, 'host' | 'account' | 'platform' | 'sentAt' | 'deadline' | 'outputName'>,
      hostClass: string,
    ): number {
      const number = workunit.copies.length
      const { host, account, platform, sentAt, deadline, outputName } = copy
      addCopy.run(workunit.id, number, host, account, platform, sentAt, deadline, outputName)
      keep(
        workunit,
        nextState(workunit.state, { kind: 'sent', number }),
        workunit.state.replication.isHomogeneous ? hostClass : '',
      )
      return number
    },

    keepReport(workunit: number, number: number, cpuSeconds: number, exitStatus: number): void {
      keepReport.run(cpuSeconds, Math.trunc(exitStatus), workunit, number)
    },

    /** Notes that the file of a copy is there, unless one was there already. */
    keepUpload({ id, name }: StoredWorkunit, copy: SentCopy, sent: { bytes: number; md5: string }): void {
      if (copy.outputMd5 !== undefined) return
      keepUpload.run(sent.bytes, sent.md5, id, copy.number)
      setWasRunning.run(id)
      changed(name)
    },

    /** Notes that a host has begun with it, or may have. */
    keepRunning({ id, name }: StoredWorkunit, { number, isRunning }: SentCopy): void {
      if (isRunning) return
      keepRunning.run(id, number)
      setWasRunning.run(id)
      changed(name)
    },

    resend({ id }: StoredWorkunit, { number }: SentCopy, deadline: number): void {
      resend.run(deadline, id, number)
    },

    /** Copies that a host has been given and has not reported. */
    openOfHost(host: number): readonly OpenCopy[] {
      return openOfHost.all(host) as unknown as OpenCopy[]
    },

    overdue(now: number, limit: number): readonly { workunit: number; number: number }[] {
      return overdue.all(now, limit) as unknown as { workunit: number; number: number }[]
    },

    /** Workunits of which archives are to be read, in order of their ids. */
    toJudge(afterId: number, limit: number): readonly number[] {
      return toJudge.all(afterId, limit).map((row) => Number(row['id']))
    },

    forget(id: number): void {
      for (const statement of forget) statement.run(id)
      forgetWorkunit.run(id)
    },
  }
}

export type WorkTable = ReturnType<typeof openWorkTable>

/** Copies of a workunit that wait for their archives to be read. */
export function unread({ state, copies }: StoredWorkunit): readonly SentCopy[] {
  const numbers = copiesToJudge(state)
  return copies.filter(({ number }) => numbers.includes(number))
}

function toCopy(row: CopyRow): SentCopy {
  const { number, host, account, platform, state, sentAt, deadline, resends, cpuSeconds, outputName } = row
  return {
    number,
    host,
    account,
    platform,
    state,
    sentAt,
    deadline,
    resends,
    cpuSeconds,
    outputName,
    isRunning: row.isRunning === 1,
    ...(row.cause === null ? {} : { cause: row.cause }),
    ...(row.message === null ? {} : { message: row.message }),
    ...(row.digest === null ? {} : { digest: row.digest }),
    ...(row.endedAt === null ? {} : { endedAt: row.endedAt }),
    ...(row.outputMd5 === null ? {} : { outputMd5: row.outputMd5 }),
  }
}
