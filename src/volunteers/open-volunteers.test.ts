import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  fakeArchive,
  fakeRequest,
  understand,
  type FakeVolunteer,
} from '../../test/helpers/fake-volunteer.ts'
import { openAccounts } from './accounts.ts'
import type { Volunteers } from './contract.ts'
import { openVolunteers } from './open-volunteers.ts'
import { exampleSettings, exampleWorkunit } from './project.fixtures.ts'

const accountSecret = randomBytes(32)
const patience = { timeout: 30_000, interval: 20 }
let directory: string
let volunteers: Volunteers
let warnings: string[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-volunteers-'))
  warnings = []
  volunteers = await open()
})

afterEach(async () => {
  await volunteers.close()
  await rm(directory, { recursive: true })
})

async function open(): Promise<Volunteers> {
  return openVolunteers({
    directory,
    accountSecret,
    settings: exampleSettings(),
    signatureOf: () => Promise.resolve('signature'),
    warn: (message) => warnings.push(message),
  })
}

function addVolunteer(name: string): string {
  using accounts = openAccounts(join(directory, 'project.db'), accountSecret, Date.now)
  return accounts.authenticatorOf(accounts.add(name))
}

async function talk(host: FakeVolunteer) {
  return understand(await volunteers.exchange(fakeRequest(host)))
}

/** Attaches a host and lets it ask for work. */
async function attach(authenticator: string, name: string, wantedSeconds = 1) {
  const host = { authenticator, hostId: 0, sequenceNumber: 0, name, held: [], wantedSeconds }
  const answer = await talk(host)
  return { host: { ...host, hostId: answer.hostId ?? 0 }, tasks: answer.tasks, answer }
}

async function send(outputName: string, archive: Buffer): Promise<void> {
  const file = await volunteers.uploadOf(outputName)
  expect(file?.state).toBe('open')
  await writeFile(file?.path ?? '', archive)
  const md5 = createHash('md5').update(archive).digest('hex')
  await volunteers.uploaded(outputName, { bytes: archive.length, md5 })
}

async function kindOf(name: string): Promise<string | undefined> {
  return (await volunteers.progressOf([name])).get(name)?.kind
}

test('hands work to a host that asks, takes its result, and tells how far it is', async () => {
  const changed: string[] = []
  volunteers.watch((names) => changed.push(...names), new AbortController().signal)
  await volunteers.file([exampleWorkunit('wu_1'), exampleWorkunit('wu_1'), exampleWorkunit('wu_2')])
  expect(await kindOf('wu_1')).toBe('queued')
  expect(await volunteers.downloadOf('in_wu_1')).toEqual({ path: '/nowhere/in', bytes: 7 })
  expect(await volunteers.downloadOf('launcher_100')).toEqual({ path: '/nowhere/launcher', bytes: 5 })
  expect(await volunteers.downloadOf('in_1')).toBeUndefined()

  const { host, tasks, answer } = await attach(addVolunteer('alice'), 'box', 120)
  expect(answer.hostId).toBe(1)
  const [task, next] = tasks
  expect(task?.name).toBe('wu_1_0')
  expect((await volunteers.progressOf(['wu_1'])).get('wu_1')).toEqual({
    kind: 'queued',
    reason: 'sent to box',
  })
  const later = await talk({ ...host, held: ['wu_1_0', 'wu_2_0'] })
  expect(later.hostId).toBeUndefined()
  expect((await volunteers.progressOf(['wu_1'])).get('wu_1')).toEqual({ kind: 'running', host: 'box' })

  await send(task?.outputName ?? '', fakeArchive('HELLO\n'))
  const reported = await talk({
    ...host,
    sequenceNumber: 1,
    held: ['wu_2_0'],
    results: [{ name: 'wu_1_0' }, { name: 'wu_1_0' }],
  })
  expect(reported.acknowledged).toEqual(['wu_1_0'])
  await vi.waitFor(async () => expect(await kindOf('wu_1')).toBe('done'), patience)
  const done = (await volunteers.progressOf(['wu_1'])).get('wu_1')
  const archive = done?.kind === 'done' ? done.archive : ''
  expect((await stat(archive)).size).toBeGreaterThan(0)
  expect((await volunteers.uploadOf(task?.outputName ?? ''))?.state).toBe('closed')
  // Results that come later are read, too.
  await send(next?.outputName ?? '', fakeArchive('HELLO\n'))
  await talk({ ...host, sequenceNumber: 2, results: [{ name: 'wu_2_0' }] })
  await vi.waitFor(async () => expect(await kindOf('wu_2')).toBe('done'), patience)
  expect(new Set(changed)).toEqual(new Set(['wu_1', 'wu_2']))
  const [listed] = await volunteers.hosts(10)
  expect(listed).toMatchObject({ name: 'box', volunteer: 'alice', copiesInProgress: 0, copiesDone: 2 })
  const { users, hosts } = await volunteers.statistics()
  expect(users[0]).toMatchObject({ name: 'alice' })
  expect(hosts[0]).toMatchObject({ userId: users[0]?.id, name: 'box', cpus: 2 })

  await volunteers.remove(['wu_1', 'wu_1'])
  expect(await kindOf('wu_1')).toBeUndefined()
  await vi.waitFor(async () => expect(stat(archive)).rejects.toThrow('ENOENT'), patience)
  expect((await talk({ ...host, sequenceNumber: 3, held: ['wu_1_0'] })).aborted).toEqual(['wu_1_0'])
  expect(warnings).toEqual([])
})

test('goes on after a restart with all that was told, and reads results that were not read', async () => {
  await volunteers.file([exampleWorkunit('wu_1')])
  const { host, tasks } = await attach(addVolunteer('alice'), 'box')
  await send(tasks[0]?.outputName ?? '', fakeArchive('HELLO\n'))
  // Answered, and perhaps not read yet.
  await talk({ ...host, results: [{ name: 'wu_1_0' }] })
  await volunteers.close()
  volunteers = await open()
  await vi.waitFor(async () => expect(await kindOf('wu_1')).toBe('done'), patience)
  expect((await talk({ ...host, sequenceNumber: 1 })).hostId).toBeUndefined()
})

test('counts results whose numbers differ by less than they may, those before a restart as well', async () => {
  const agreement = { kind: 'numbers', relative: 1e-6, absolute: 0 } as const
  const replication = {
    target: 2,
    quorum: 2,
    errorsAtMost: 3,
    copiesAtMost: 4,
    isHomogeneous: false,
    agreement,
  }
  await volunteers.file([exampleWorkunit('wu_1', { replication })])
  const hosts = []
  for (const name of ['alice', 'bob']) hosts.push(await attach(addVolunteer(name), `${name}-box`))
  const compute = async ({ host, tasks }: Awaited<ReturnType<typeof attach>>, energy: string) => {
    await send(tasks[0]?.outputName ?? '', fakeArchive(`energy ${energy} J\n`))
    await talk({ ...host, results: [{ name: tasks[0]?.name ?? '' }] })
  }
  for (const [index, energy] of ['1.0000001', '2.5'].entries()) {
    const host = hosts[index]
    if (host !== undefined) await compute(host, energy)
  }
  const carolKey = addVolunteer('carol')
  const carol = await vi.waitFor(async () => {
    const attached = await attach(carolKey, 'carol-box')
    expect(attached.tasks).toHaveLength(1)
    return attached
  }, patience)
  await volunteers.close()
  volunteers = await open()
  await compute(carol, '1.0000009')
  await vi.waitFor(async () => expect(await kindOf('wu_1')).toBe('done'), patience)
  expect((await volunteers.progressOf(['wu_1'])).get('wu_1')).toMatchObject({ host: 'alice-box' })
  const failed = (await volunteers.hosts(10)).map(({ volunteer, copiesFailed }) => [volunteer, copiesFailed])
  expect(Object.fromEntries(failed)).toEqual({ alice: 0, bob: 1, carol: 0 })
  expect(warnings).toEqual([])
})
