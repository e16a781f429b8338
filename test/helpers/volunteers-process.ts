/**
 * A process with a project of volunteers and fake hosts that compute all its work, for tests that kill it. It reads what
 * the hosts know from its input, and prints what each answer told them, a line each, as soon as it came.
 */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { openAccounts } from '../../src/volunteers/accounts.ts'
import { openVolunteers } from '../../src/volunteers/open-volunteers.ts'
import { exampleSettings, exampleWorkunit } from '../../src/volunteers/project.fixtures.ts'
import { fakeArchive, fakeRequest, understand } from './fake-volunteer.ts'

/** What a host knows: it keeps it when the server dies. */
export interface HostMemory {
  readonly account: number
  hostId: number
  sequenceNumber: number
  /** By the copy's name, the name of its file. */
  readonly tasks: Record<string, string>
}

export interface ProcessTask {
  readonly directory: string
  readonly accountSecret: string
  readonly workunits: number
  readonly hosts: readonly HostMemory[]
}

/** What an answer told a host. */
export interface ToldLine {
  readonly account: number
  readonly hostId: number
  readonly sequenceNumber: number
  readonly tasks: Readonly<Record<string, string>>
  readonly acknowledged: readonly string[]
}

const { directory, accountSecret, workunits, hosts } = JSON.parse(await text(process.stdin)) as ProcessTask
const secret = Buffer.from(accountSecret, 'hex')
const volunteers = await openVolunteers({
  directory,
  accountSecret: secret,
  settings: exampleSettings(),
  signatureOf: () => Promise.resolve('signature'),
  warn: (message) => console.error(message),
})
const accounts = openAccounts(`${directory}/project.db`, secret, Date.now)
while (accounts.list().length < hosts.length) accounts.add(`volunteer${accounts.list().length}`)
const names = Array.from({ length: workunits }, (_, at) => `wu_${at}`)
const replication = { target: 2, quorum: 2, errorsAtMost: 5, copiesAtMost: 6, isHomogeneous: false }
await volunteers.file(names.map((name) => exampleWorkunit(name, { replication, estimatedMs: 1000 })))

/**
 * Hosts that ask again within two seconds are put off for longer each time; a second is for their clocks. They wait before
 * they ask, since the life before may have ended a moment ago.
 */
const pauseMs = 1100
const done = new AbortController()
const end = async (): Promise<void> => {
  for (;;) {
    const progress = await volunteers.progressOf(names)
    if ([...progress.values()].every(({ kind }) => kind === 'done')) break
    await delay(50)
  }
  done.abort()
}
await Promise.all([end(), ...hosts.map(async (host) => live(host))])
accounts[Symbol.dispose]()
await volunteers.close()
console.log('done')

/** Finishes what it has and asks for more, again and again, as soon as it may. */
async function live(host: HostMemory): Promise<void> {
  for (;;) {
    await delay(pauseMs)
    if (done.signal.aborted) return
    const finished = Object.entries(host.tasks)
    for (const [name, outputName] of finished) await send(name, outputName)
    const request = fakeRequest({
      authenticator: accounts.authenticatorOf({ id: host.account }),
      hostId: host.hostId,
      sequenceNumber: host.sequenceNumber,
      name: `box${host.account}`,
      held: [],
      results: finished.map(([name]) => ({ name })),
      wantedSeconds: 4,
    })
    const { hostId, tasks, acknowledged } = understand(await volunteers.exchange(request))
    host.sequenceNumber = hostId === undefined ? host.sequenceNumber + 1 : 0
    host.hostId = hostId ?? host.hostId
    for (const name of acknowledged) delete host.tasks[name]
    for (const { name, outputName } of tasks) host.tasks[name] = outputName
    const told: ToldLine = { ...host, acknowledged }
    console.log(JSON.stringify(told))
  }
}

async function send(name: string, outputName: string): Promise<void> {
  const file = await volunteers.uploadOf(outputName)
  if (file?.state !== 'open') return
  const archive = fakeArchive(`result of ${name.replace(/_\d+$/, '')}`)
  await writeFile(file.path, archive)
  await volunteers.uploaded(outputName, {
    bytes: archive.length,
    md5: createHash('md5').update(archive).digest('hex'),
  })
}
