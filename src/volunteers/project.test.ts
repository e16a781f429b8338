import { mkdtempSync, rmSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Workunit, WorkunitProgress } from '../environment/volunteers.ts'
import { accountsSchema } from './accounts.ts'
import type { Assignment, ReportedResult, SchedulerReply, SchedulerRequest } from './exchange.ts'
import type { ProjectCall } from './project-calls.ts'
import { openProjectDatabase } from './project-database.ts'
import { Project } from './project.ts'
import { exampleWorkunit } from './project.fixtures.ts'

const hourMs = 3_600_000
let directory: string
let database: DatabaseSync
let project: Project
let now: number
let secrets: number

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-project-'))
  now = Date.UTC(2026, 0, 1, 1)
  secrets = 0
  database = openProjectDatabase(join(directory, 'project.db'), accountsSchema)
  for (const [id, name] of ['alice', 'bob', 'carol', 'dave'].entries())
    database
      .prepare('INSERT INTO accounts (id, name, cross_project_id, created_at) VALUES (?, ?, ?, ?)')
      .run(id + 1, name, `cpid-${name}`, now)
  project = open()
})

afterEach(() => {
  database.close()
  rmSync(directory, { recursive: true })
})

/** Requests and replies stay data here: what they look like as text is tested with the protocol. */
function open(isMoved = false): Project {
  return new Project({
    database,
    uploadDirectory: '/uploads',
    readRequest: (text) => JSON.parse(text) as SchedulerRequest,
    writeReply: (reply) => JSON.stringify(reply),
    accountOf: (authenticator) => Number(authenticator),
    trustsKey: (held) => held !== 'of another project',
    isMoved,
    now: () => now,
    random: () => 0,
    secret: () => (secrets += 1).toString(16).padStart(32, '0'),
  })
}

function call(call: ProjectCall): unknown {
  const [outcome] = project.run([call]).outcomes
  if (outcome?.kind !== 'answered') throw new Error(outcome?.message)
  return outcome.answer
}

function file(...workunits: readonly Workunit[]): void {
  call({ kind: 'file', workunits })
}

function progressOf(name: string): WorkunitProgress | undefined {
  const answer = call({ kind: 'progress', names: [name] }) as (readonly [string, WorkunitProgress])[]
  return answer[0]?.[1]
}

/** A computer that behaves, unless it is told not to. */
class Host {
  readonly account: number
  readonly facts: Partial<SchedulerRequest['host']>
  id = 0
  sequenceNumber = 0
  held: string[] = []
  readonly tasks = new Map<string, Assignment>()

  constructor(account: number, facts: Partial<SchedulerRequest['host']> = {}) {
    this.account = account
    this.facts = facts
  }

  ask(request: Partial<SchedulerRequest> = {}): SchedulerReply {
    now += 10_000
    const reply = this.say(request)
    if (reply.newHostId === undefined) this.sequenceNumber += 1
    else [this.id, this.sequenceNumber] = [reply.newHostId, 0]
    for (const task of reply.assignments) {
      this.tasks.set(task.name, task)
      if (!this.held.includes(task.name)) this.held.push(task.name)
    }
    return reply
  }

  /** Asks, and forgets the answer. */
  say(request: Partial<SchedulerRequest>): SchedulerReply {
    return JSON.parse(call({ kind: 'exchange', text: this.words(request) }) as string) as SchedulerReply
  }

  words(request: Partial<SchedulerRequest>): string {
    const whole: SchedulerRequest = {
      authenticator: String(this.account),
      hostId: this.id,
      sequenceNumber: this.sequenceNumber,
      clientVersion: { major: 7, minor: 20, release: 5 },
      platforms: ['x86_64-pc-linux-gnu'],
      wanted: { seconds: 1, cpuSeconds: 1, idleCpus: 0 },
      codeSignKey: '',
      allowsMultipleClients: false,
      results: [],
      held: this.held,
      stickyFiles: [],
      preferences: undefined,
      ...request,
      host: {
        crossProjectId: `host-of-${this.account}`,
        name: `box${this.account}`,
        address: '192.0.2.1',
        timezoneSeconds: 0,
        cpus: 2,
        cpuVendor: 'GenuineIntel',
        cpuModel: 'Xeon',
        flops: 1e9,
        integerOperations: 1e9,
        memoryBytes: 8e9,
        diskFreeBytes: 1e11,
        projectDiskBytes: 1e11,
        operatingSystem: 'Linux Debian',
        operatingSystemVersion: '12',
        ...this.facts,
      },
    }
    return JSON.stringify(whole)
  }

  /** Sends the file of a task that it has. */
  upload(name: string): void {
    call({ kind: 'uploaded', name: this.tasks.get(name)?.outputName ?? '', bytes: 5, md5: 'md5' })
  }

  report(name: string, result: Partial<ReportedResult> = {}): SchedulerReply {
    this.held = this.held.filter((held) => held !== name)
    return this.ask({ results: [resultOf(name, result)], wanted: undefined })
  }

  finish(name: string): SchedulerReply {
    this.upload(name)
    return this.report(name)
  }
}

function resultOf(name: string, result: Partial<ReportedResult> = {}): ReportedResult {
  return { name, state: 5, exitStatus: 0, cpuSeconds: 5, elapsedSeconds: 5, stderr: '', files: [], ...result }
}

/** Reads what is to be read: each host's archive says what the test says of its account. */
function judge(digests: Readonly<Record<number, string>> = {}): void {
  const { readings } = project.readings(0, 100)
  project.run(
    [],
    readings.map(({ workunit, archives }) => ({
      workunit,
      judgements: archives.map(({ number }) => {
        const row = database
          .prepare('SELECT account FROM copies WHERE workunit = ? AND number = ?')
          .get(workunit, number)
        const digest = digests[Number(row?.['account'])] ?? 'same'
        return digest === 'broken'
          ? { kind: 'broken' as const, number, message: 'It is no archive.' }
          : { kind: 'sound' as const, number, digest }
      }),
    })),
  )
}

function refusals(): string[] {
  return database
    .prepare('SELECT name, reason FROM refusals ORDER BY id')
    .all()
    .map(({ name, reason }) => `${String(name)}: ${String(reason)}`)
}

const names = (reply: SchedulerReply): string[] => reply.assignments.map(({ name }) => name)
const twoOfThree = { target: 2, quorum: 2, errorsAtMost: 3, copiesAtMost: 4, isHomogeneous: false }

describe('a quorum of two', () => {
  test('is of two volunteers, finds who lies, and pays who agrees', () => {
    file(exampleWorkunit('wu', { replication: twoOfThree }))
    const [alice, again, bob, carol] = [
      new Host(1),
      new Host(1, { crossProjectId: 'x' }),
      new Host(2),
      new Host(3),
    ]
    expect(names(alice.ask())).toEqual(['wu_0'])
    expect(names(alice.ask())).toEqual([])
    expect(names(again.ask())).toEqual([])
    expect(names(bob.ask())).toEqual(['wu_1'])
    expect(names(carol.ask())).toEqual([])
    expect(progressOf('wu')).toEqual({ kind: 'running', host: 'box1' })
    alice.finish('wu_0')
    expect(progressOf('wu')).toEqual({ kind: 'running' })
    bob.finish('wu_1')
    judge({ 1: 'truth', 2: 'lie' })
    expect(names(carol.ask())).toEqual(['wu_2'])
    carol.finish('wu_2')
    judge({ 3: 'truth' })
    const secret = '1'.padStart(32, '0')
    expect(progressOf('wu')).toEqual({ kind: 'done', archive: `/uploads/00/wu_0_r${secret}_0`, host: 'box1' })
    const credit = database
      .prepare('SELECT account, total_credit AS total FROM volunteers ORDER BY account')
      .all()
    expect(credit.map(({ account, total }) => [account, Number(total) > 0])).toEqual([
      [1, true],
      [2, false],
      [3, true],
    ])
  })

  test('is of hosts of one kind where that is asked for', () => {
    file(exampleWorkunit('wu', { replication: { ...twoOfThree, isHomogeneous: true } }))
    const [alice, bob, carol] = [new Host(1), new Host(2, { cpuVendor: 'AuthenticAMD' }), new Host(3)]
    expect(names(alice.ask())).toEqual(['wu_0'])
    expect(names(bob.ask())).toEqual([])
    expect(names(carol.ask())).toEqual(['wu_1'])
    alice.report('wu_0', { state: 3, exitStatus: 1 })
    carol.report('wu_1', { state: 3, exitStatus: 1 })
    // Nothing is left that others would have to be like.
    expect(names(bob.ask())).toEqual(['wu_2'])
  })
})

describe('hosts of several kinds', () => {
  const arm = 'aarch64-unknown-linux-gnu'
  const withNode = (name: string, isHomogeneous = false): Workunit => {
    const example = exampleWorkunit(name, { replication: { ...twoOfThree, isHomogeneous } })
    const [launcher] = example.application.platforms['x86_64-pc-linux-gnu'] ?? []
    if (launcher === undefined) throw new Error('expected a launcher')
    const programs = (node: string) => [
      launcher,
      { ...launcher, name: node, openName: 'shared_1.tar.gz', path: `/nowhere/${node}` },
    ]
    const platforms = { 'x86_64-pc-linux-gnu': programs('node_x86'), [arm]: programs('node_arm') }
    return { ...example, application: { ...example.application, name: 'with_node', platforms } }
  }
  const programsOf = ({ assignments }: SchedulerReply): (readonly string[] | undefined)[] =>
    assignments.map(({ workunit, platform }) =>
      workunit.application.platforms[platform]?.map(({ name }) => name),
    )

  test('each get the programs of their own kind, and others nothing', () => {
    file(withNode('wu'))
    const [alice, bob, carol] = [new Host(1), new Host(2), new Host(3)]
    expect(names(carol.ask({ platforms: ['windows_x86_64'] }))).toEqual([])
    const replies = [alice.ask({ platforms: [arm] }), bob.ask()]
    expect(replies.flatMap(({ assignments }) => assignments.map(({ platform }) => platform))).toEqual([
      arm,
      'x86_64-pc-linux-gnu',
    ])
    expect(replies.flatMap(programsOf)).toEqual([
      ['launcher_100', 'node_arm'],
      ['launcher_100', 'node_x86'],
    ])
    expect(call({ kind: 'download', name: 'node_arm' })).toMatchObject({ path: '/nowhere/node_arm' })
  })

  test('never compute the same job where all are to be of one kind', () => {
    file(withNode('wu', true))
    const [alice, bob, carol] = [new Host(1), new Host(2), new Host(3)]
    expect(names(alice.ask({ platforms: [arm] }))).toEqual(['wu_0'])
    expect(names(bob.ask())).toEqual([])
    expect(names(carol.ask({ platforms: [arm] }))).toEqual(['wu_1'])
  })
})

describe('a copy', () => {
  test('goes to another host when its deadline passes, and counts when it comes late all the same', () => {
    file(exampleWorkunit('wu', { deadlineMs: hourMs }))
    const [alice, bob] = [new Host(1), new Host(2)]
    alice.ask()
    alice.ask()
    expect(progressOf('wu')).toEqual({ kind: 'running', host: 'box1' })
    expect(project.sweep(10).count).toBe(0)
    now += hourMs + 1
    expect(project.sweep(10)).toMatchObject({ count: 1, changed: ['wu'] })
    expect(progressOf('wu')).toEqual({ kind: 'running' })
    expect(names(bob.ask())).toEqual(['wu_1'])
    expect(alice.ask().abortedIfNotStarted).toEqual(['wu_0'])
    alice.finish('wu_0')
    judge()
    expect(progressOf('wu')).toMatchObject({ kind: 'done', host: 'box1' })
    expect(bob.ask().abortedIfNotStarted).toEqual(['wu_1'])
    expect(refusals()).toEqual([])
  })

  test('does not count when it comes late and another has come', () => {
    file(exampleWorkunit('wu', { deadlineMs: hourMs }))
    const [alice, bob] = [new Host(1), new Host(2)]
    alice.ask()
    now += hourMs + 1
    project.sweep(10)
    bob.ask()
    bob.finish('wu_1')
    judge()
    expect(alice.finish('wu_0').acknowledged).toEqual(['wu_0'])
    expect(progressOf('wu')).toMatchObject({ kind: 'done', host: 'box2' })
    expect(refusals()).toEqual(['wu_0: The copy had ended: overdue.'])
    expect(call({ kind: 'refusals' })).toBe(1)
  })

  test('that its host lost is sent again under its name, and given up after a few times', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    const first = alice.ask().assignments[0]
    for (let time = 0; time < 3; time += 1) {
      alice.held = []
      const again = alice.ask().assignments[0]
      expect(again).toMatchObject({ name: 'wu_0', outputName: first?.outputName })
      expect(again?.deadline).toBeGreaterThan(first?.deadline ?? 0)
    }
    alice.held = []
    expect(names(alice.ask())).toEqual([])
    expect(progressOf('wu')).toMatchObject({ kind: 'queued' })
    expect(names(new Host(2).ask())).toEqual(['wu_1'])
  })

  test('of a host that was attached anew goes to another at once', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask()
    const attachedAgain = new Host(1)
    const reply = attachedAgain.ask()
    expect(reply.newHostId).toBe(alice.id)
    expect(names(reply)).toEqual([])
    expect(names(new Host(2).ask())).toEqual(['wu_1'])
  })

  test('stays with its host where several clients run on one computer', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask({ allowsMultipleClients: true })
    const other = new Host(1)
    expect(other.ask({ allowsMultipleClients: true }).newHostId).not.toBe(alice.id)
    expect(names(new Host(2).ask())).toEqual([])
  })

  test('counts once however often it is reported, and every report is acknowledged', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask()
    alice.upload('wu_0')
    const twice = [resultOf('wu_0'), resultOf('wu_0', { state: 3, exitStatus: 1 }), resultOf('other_7')]
    alice.held = []
    expect(alice.ask({ results: twice }).acknowledged).toEqual(['wu_0', 'other_7'])
    expect(alice.ask({ results: twice }).acknowledged).toEqual(['wu_0', 'other_7'])
    judge()
    expect(progressOf('wu')?.kind).toBe('done')
    expect(database.prepare('SELECT done, failed FROM hosts').all()).toEqual([{ done: 1, failed: 0 }])
    expect(refusals()).toEqual([
      'other_7: There is no such copy, or none any more.',
      'wu_0: The copy had ended: reported.',
      'other_7: There is no such copy, or none any more.',
    ])
  })

  test('does not count from another volunteer, and does from another computer of its own', () => {
    file(exampleWorkunit('wu'))
    const [alice, other, mallory] = [new Host(1), new Host(1, { crossProjectId: 'x' }), new Host(2)]
    alice.ask()
    alice.upload('wu_0')
    expect(mallory.report('wu_0').acknowledged).toEqual(['wu_0'])
    expect(progressOf('wu')?.kind).toBe('running')
    expect(refusals()).toEqual(['wu_0: The copy was given to another volunteer.'])
    other.report('wu_0')
    judge()
    expect(progressOf('wu')?.kind).toBe('done')
  })

  test('without its file is a failure', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask()
    alice.report('wu_0')
    expect(progressOf('wu')).toMatchObject({
      kind: 'queued',
      reason: expect.stringContaining('sent no result file'),
    })
  })

  test('that cannot be read is a failure', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask()
    alice.finish('wu_0')
    judge({ 1: 'broken' })
    expect(names(alice.ask())).toEqual([])
    expect(names(new Host(2).ask())).toEqual(['wu_1'])
  })
})

describe('a host', () => {
  test('with copied state gets another number, and keeps it', () => {
    const alice = new Host(1)
    alice.ask()
    for (let time = 0; time < 3; time += 1) expect(alice.ask().newHostId).toBeUndefined()
    const copy = new Host(1)
    copy.id = alice.id
    copy.sequenceNumber = 1
    const { newHostId } = copy.ask()
    expect(newHostId).toBeGreaterThan(alice.id)
    expect(copy.ask().newHostId).toBeUndefined()
    expect(alice.ask().newHostId).toBeUndefined()
  })

  test("gets a number of its own where it names another's or none that is known", () => {
    const [alice, bob] = [new Host(1), new Host(2)]
    alice.ask()
    bob.id = alice.id
    expect(bob.ask().newHostId).toBe(2)
    const restored = new Host(2, { crossProjectId: 'other' })
    restored.id = 99
    expect(restored.ask().newHostId).toBe(3)
  })

  test('that asks too often gets no work, is put off longer each time, and is heard all the same', () => {
    file(exampleWorkunit('wu_a'), exampleWorkunit('wu_b'))
    const alice = new Host(1)
    expect(names(alice.ask())).toEqual(['wu_a_0'])
    alice.upload('wu_a_0')
    alice.held = []
    const delays = [1, 2, 3].map(() => {
      const reply = alice.say({ results: [resultOf('wu_a_0')] })
      expect(reply.acknowledged).toEqual(['wu_a_0'])
      expect(names(reply)).toEqual([])
      return reply.requestDelaySeconds
    })
    expect(delays).toEqual([4, 8, 16])
    now += 20_000
    expect(names(alice.ask())).toEqual(['wu_b_0'])
  })

  test('that fails all it gets has soon had its tasks for the day', () => {
    file(...Array.from({ length: 80 }, (_, number) => exampleWorkunit(`wu_${number}`)))
    const alice = new Host(1)
    let given = 0
    for (let turn = 0; turn < 80; turn += 1) {
      const [task] = names(alice.ask())
      if (task === undefined) break
      given += 1
      alice.report(task, { state: 3, exitStatus: -186 })
    }
    expect(given).toBeLessThan(15)
    expect(alice.ask().messages.at(-1)?.text).toBe('This computer has had its tasks for today.')
    now += 24 * hourMs
    expect(names(alice.ask())).toHaveLength(1)
  })

  test.each([
    ['other platforms', { platforms: ['windows_x86_64'] }],
    ['programs of its own', { platforms: ['anonymous'] }],
    ['no wish for work', { wanted: undefined }],
    ['a key that it got elsewhere', { codeSignKey: 'of another project' }],
  ])('with %s gets none', (_, request) => {
    file(exampleWorkunit('wu'))
    expect(names(new Host(1).ask(request))).toEqual([])
  })

  test('too small for the first workunits gets a later one', () => {
    const large = Array.from({ length: 30 }, (_, at) => exampleWorkunit(`large_${at}`, { memoryBytes: 9e9 }))
    const wide = [1, 2, 3, 4, 5].map((at) => exampleWorkunit(`wide_${at}`, { cpus: 3 }))
    file(...large, ...wide, exampleWorkunit('small'))
    expect(names(new Host(1).ask())).toEqual(['small_0'])
  })

  test('of an account that makes too many gets none', () => {
    expect(new Host(1).ask().newHostId).toBe(1)
    database.prepare('UPDATE volunteers SET hosts_that_day = 1000').run()
    const reply = new Host(1, { crossProjectId: 'more' }).say({})
    expect(reply.newHostId).toBeUndefined()
    expect(reply.requestDelaySeconds).toBe(3600)
  })

  test('with a wrong key or an old client is told so, and nothing else', () => {
    expect(new Host(99).ask().messages[0]?.text).toContain('Invalid or missing account key')
    const old = new Host(1).ask({ clientVersion: { major: 6, minor: 12, release: 0 } })
    expect(old.requestDelaySeconds).toBe(86_400)
    expect(database.prepare('SELECT count(*) AS count FROM hosts').get()).toEqual({ count: 0 })
  })

  test('keeps files only as long as work needs them', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    expect(alice.ask({ stickyFiles: ['in_wu', 'in_gone'] }).deletedFiles).toEqual(['in_gone'])
    call({ kind: 'remove', names: ['wu'] })
    expect(alice.ask({ stickyFiles: ['in_wu'] }).deletedFiles).toEqual(['in_wu'])
  })

  test("brings its volunteer's preferences to his other hosts", () => {
    const [alice, other] = [new Host(1), new Host(1, { crossProjectId: 'x' })]
    const preferences = '<global_preferences><mod_time>200</mod_time></global_preferences>'
    expect(alice.ask({ preferences }).preferences).toBeUndefined()
    expect(other.ask({ preferences: '<mod_time>100</mod_time>' }).preferences).toBe(preferences)
    expect(other.ask({ preferences }).preferences).toBeUndefined()
    expect(new Host(2).ask().preferences).toBeUndefined()
  })
})

describe('the project', () => {
  test('gives work to all who ask at once, in the order it was filed, and none that was cancelled', () => {
    const wanted = Array.from({ length: 450 }, (_, at) => `wu${at}`)
    file(...wanted.map((name) => exampleWorkunit(name)))
    call({ kind: 'cancel', names: wanted.slice(0, 2) })
    const calls = wanted.map((name) => {
      const text = new Host(1, { crossProjectId: name }).words({})
      return { kind: 'exchange' as const, text }
    })
    const given = project.run(calls).outcomes.flatMap((outcome) => {
      if (outcome.kind !== 'answered') throw new Error(outcome.message)
      return names(JSON.parse(outcome.answer as string) as SchedulerReply)
    })
    expect(given).toEqual(wanted.slice(2).map((name) => `${name}_0`))
  })

  test('ends a cancelled workunit at once, and tells its host to stop', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask()
    call({ kind: 'cancel', names: ['wu', 'wu', 'none'] })
    expect(progressOf('wu')).toEqual({ kind: 'cancelled' })
    expect(alice.ask().aborted).toEqual(['wu_0'])
    alice.upload('wu_0')
    expect(alice.report('wu_0', { state: 6, exitStatus: 202 }).acknowledged).toEqual(['wu_0'])
    expect(progressOf('wu')).toEqual({ kind: 'cancelled' })
    expect(database.prepare('SELECT failed FROM hosts').get()).toEqual({ failed: 0 })
  })

  test.each([
    [197, 'timeout'],
    [198, 'out-of-memory'],
    [196, 'unknown'],
  ])('ends a workunit that a limit of the client ended: %i', (exitStatus, cause) => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    alice.ask()
    alice.report('wu_0', { state: 3, exitStatus })
    expect(progressOf('wu')).toMatchObject({ kind: 'failed', cause })
  })

  test('gives up on a workunit that failed everywhere, and says why', () => {
    file(exampleWorkunit('wu'))
    for (const account of [1, 2, 3]) {
      const host = new Host(account)
      const [task = ''] = names(host.ask())
      host.report(task, { state: 3, exitStatus: -185, stderr: '<message>no such file</message>' })
    }
    expect(progressOf('wu')).toEqual({
      kind: 'failed',
      cause: 'node-failure',
      message: 'box3: it could not be started (exit status -185, state 3): no such file',
    })
  })

  test('opens an upload only to who knows its name, until it is whole', () => {
    file(exampleWorkunit('wu'))
    const alice = new Host(1)
    const outputName = alice.ask().assignments[0]?.outputName ?? ''
    const forged = outputName.replace(/r0/, 'r1')
    expect(call({ kind: 'upload', name: forged })).toBeUndefined()
    expect(call({ kind: 'upload', name: '../../etc/passwd' })).toBeUndefined()
    expect(call({ kind: 'upload', name: outputName })).toMatchObject({ state: 'open', bytesAtMost: 1e6 })
    alice.upload('wu_0')
    expect(call({ kind: 'upload', name: outputName })).toMatchObject({ state: 'closed' })
  })

  test('refuses work that no host could run, and keeps what was filed beside it', () => {
    const bad = exampleWorkunit('../wu')
    const outcomes = project.run([
      { kind: 'file', workunits: [exampleWorkunit('wu_a')] },
      { kind: 'file', workunits: [exampleWorkunit('wu_b'), bad] },
      { kind: 'file', workunits: [exampleWorkunit('wu_c')] },
    ]).outcomes
    expect(outcomes.map(({ kind }) => kind)).toEqual(['answered', 'refused', 'answered'])
    expect(['wu_a', 'wu_b', 'wu_c'].map((name) => progressOf(name)?.kind)).toEqual([
      'queued',
      undefined,
      'queued',
    ])
  })

  test('gives the oldest work first, whatever program it is for', () => {
    const other = exampleWorkunit('first', { estimatedMs: 1000 })
    file({ ...other, application: { ...other.application, name: 'other' } }, exampleWorkunit('second'), {
      ...other,
      name: 'third',
    })
    const alice = new Host(1)
    expect(names(alice.ask({ wanted: { seconds: 1, cpuSeconds: 1e6, idleCpus: 0 } }))).toEqual([
      'first_0',
      'second_0',
      'third_0',
    ])
  })

  test('finds work for a volunteer behind much that waits for others', () => {
    const many = Array.from({ length: 3 }, (_, at) =>
      exampleWorkunit(`wu_${at}`, { replication: twoOfThree }),
    )
    file(...many)
    const hosts = [0, 1, 2].map((number) => new Host(1, { crossProjectId: `c${number}` }))
    for (const host of hosts) host.ask()
    expect(names(new Host(2).ask())).toEqual(['wu_0_1'])
  })

  test('forgets programs that no work needs any more, and knows them again when some does', () => {
    const programs = () => [
      Number(database.prepare('SELECT count(*) AS count FROM applications').get()?.['count']),
      call({ kind: 'download', name: 'launcher_100' }) !== undefined,
      call({ kind: 'download', name: 'other_100' }) !== undefined,
    ]
    const example = exampleWorkunit('wu_b')
    const [launcher] = example.application.platforms['x86_64-pc-linux-gnu'] ?? []
    const other = launcher === undefined ? [] : [launcher, { ...launcher, name: 'other_100' }]
    const application = { ...example.application, name: 'other', platforms: { 'x86_64-pc-linux-gnu': other } }
    file(exampleWorkunit('wu_a'), { ...example, application })
    call({ kind: 'remove', names: ['wu_b'] })
    expect(programs()).toEqual([2, true, true])
    project.tidy()
    expect(programs()).toEqual([1, true, false])
    file({ ...example, name: 'wu_c', application })
    expect(programs()).toEqual([2, true, true])
    expect(names(new Host(1).ask({ wanted: { seconds: 1, cpuSeconds: 1e6, idleCpus: 0 } }))).toEqual([
      'wu_a_0',
      'wu_c_0',
    ])
  })

  test('gives nothing new where it has moved, and takes what comes back', () => {
    file(exampleWorkunit('wu_a'), exampleWorkunit('wu_b'))
    const alice = new Host(1)
    expect(names(alice.ask())).toEqual(['wu_a_0'])
    project = open(true)
    const reply = alice.ask()
    expect([names(reply), reply.messages.map(({ text }) => text)]).toEqual([[], ['This project has moved.']])
    expect(alice.finish('wu_a_0').acknowledged).toEqual(['wu_a_0'])
    judge()
    expect(progressOf('wu_a')?.kind).toBe('done')
  })

  test('blames no host for what it did not send after the end of the work', () => {
    file(exampleWorkunit('wanted'), exampleWorkunit('cancelled'))
    const alice = new Host(1)
    expect(names(alice.ask({ wanted: { seconds: 1, cpuSeconds: 1e6, idleCpus: 0 } }))).toHaveLength(2)
    call({ kind: 'cancel', names: ['cancelled'] })
    now += 48 * hourMs
    expect(project.sweep(10).count).toBe(2)
    const failed = (): unknown => database.prepare('SELECT failed FROM hosts').get()?.['failed']
    expect(failed()).toBe(1)
  })
})
