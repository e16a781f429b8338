import { createHash, createSecretKey, generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { text as consumeText } from 'node:stream/consumers'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { serveTestApi } from '../../../test/helpers/api-server.ts'
import {
  fakeArchive,
  fakeRequest,
  understand,
  type FakeVolunteer,
} from '../../../test/helpers/fake-volunteer.ts'
import type { Workunit } from '../../environment/volunteers.ts'
import { accountIdOf, openAccounts, type Accounts } from '../../volunteers/accounts.ts'
import type { Volunteers } from '../../volunteers/contract.ts'
import { openKeys } from '../../volunteers/keys.ts'
import { openVolunteers } from '../../volunteers/open-volunteers.ts'
import {
  firstRequest,
  program,
  sizeRequest,
  uploadRequest,
} from '../../volunteers/protocol/examples.fixtures.ts'
import { readUploadKey, signUpload } from '../../volunteers/protocol/signatures.ts'
import { createRequestLimiter } from '../access/request-limiter.ts'
import { boincDialect } from './dialect.ts'
import { createVolunteerLimits } from './volunteer-limits.ts'

const md5 = (content: string | Uint8Array) => createHash('md5').update(content).digest('hex')
const platform = 'x86_64-pc-linux-gnu'
const patience = { timeout: 60_000, interval: 20 }
const outputBytes = 100_000

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
const olderKey = readUploadKey(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
/** In use until a test says so. */
const olderUploadKeys = [{ key: olderKey, until: 0 }]
let directory: string
let volunteers: Volunteers
let accounts: Accounts
let server: Awaited<ReturnType<typeof serveTestApi>>
let key: string
let signature: string
let clock = Date.now()
const warnings: string[] = []
const settings = {
  projectName: 'Molehill',
  masterUrl: 'http://molehill.example/boinc/',
  downloadUrl: 'http://molehill.example/boinc/download/',
  uploadUrl: 'http://molehill.example/boinc/file_upload_handler',
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-boinc-'))
  await mkdir(join(directory, 'keys'))
  const keys = await openKeys(join(directory, 'keys'))
  const whole = {
    ...settings,
    codeSignKey: keys.announcement.key,
    successions: keys.announcement.successions,
    uploadKey: keys.uploadKeyPem,
    signatures: {},
  }
  volunteers = await openVolunteers({
    directory,
    settings: whole,
    accountSecret: keys.accountSecret,
    signatureOf: (wanted) => keys.signatureOf(wanted),
    warn: (message) => warnings.push(message),
  })
  accounts = openAccounts(join(directory, 'project.db'), keys.accountSecret, () => clock)
  key = accounts.authenticatorOf(accounts.add('ann'))
  await writeFile(join(directory, 'launcher'), program)
  await writeFile(join(directory, 'input'), 'hello\n')
  signature = await keys.signatureOf({ name: 'launcher_1', md5: md5(program) })
  const limiter = (burst: number) => createRequestLimiter({ perSecond: burst, burst, elapsedMs: () => 0 })
  const dialect = boincDialect('/boinc', {
    volunteers,
    accounts,
    settings: whole,
    uploadKey: keys.uploadKey,
    olderUploadKeys,
    limits: createVolunteerLimits({ perSecond: 10_000, burst: 10_000, elapsedMs: () => performance.now() }),
    accountOf: (given) => accountIdOf(given, keys.accountSecret),
    joining: 'invited',
    platforms: { [platform]: 'Linux x86_64' },
    uploadBytes: 2 ** 20,
    idleMs: 60_000,
    checkDisk: () => Promise.resolve(),
    accountTries: limiter(1000),
    now: () => clock,
    warn: (message) => warnings.push(message),
  })
  server = await serveTestApi({ dialects: [dialect], limiter: limiter(10_000) })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  accounts[Symbol.dispose]()
  await volunteers.close()
  await rm(directory, { recursive: true })
  expect(warnings).toEqual([])
})

const url = (path: string) => `${server.url}/boinc${path}`
const get = (path: string, headers: Record<string, string> = {}) => fetch(url(path), { headers })
const post = (path: string, body: string | Uint8Array) =>
  fetch(url(path), {
    method: 'POST',
    body: typeof body === 'string' ? body : new Uint8Array(body),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
const schedule = async (body: string | Uint8Array) => {
  const answer = await post('/scheduler', body)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/xml'])
  return understand(new Uint8Array(await answer.arrayBuffer()))
}
const talk = (host: Partial<FakeVolunteer> & { readonly name: string }) =>
  schedule(fakeRequest({ authenticator: key, hostId: 0, sequenceNumber: 0, ...host }))

let lastWorkunit = 0
async function fileWork(): Promise<Workunit> {
  const workunit: Workunit = {
    name: `wu_${(lastWorkunit += 1)}`,
    environment: 'boinc',
    application: {
      name: 'upper',
      title: 'Upper case',
      resultName: 'out.txt',
      version: 100,
      platforms: {
        [platform]: [
          { name: 'launcher_1', path: join(directory, 'launcher'), bytes: 75, md5: md5(program), signature },
        ],
      },
    },
    inputs: [
      {
        name: `in_${md5('hello\n')}`,
        openName: 'in.txt',
        path: join(directory, 'input'),
        bytes: 6,
        md5: md5('hello\n'),
      },
    ],
    outputBytesAtMost: outputBytes,
    estimatedMs: 60_000,
    wallTimeMs: 600_000,
    memoryBytes: 1e8,
    diskBytes: 1e8,
    cpus: 1,
    deadlineMs: 3_600_000,
    replication: { target: 1, quorum: 1, errorsAtMost: 1, copiesAtMost: 3, isHomogeneous: false },
  }
  await volunteers.file([workunit])
  return workunit
}

interface Task {
  readonly hostId: number
  readonly name: string
  readonly outputName: string
  readonly certificate: string
  readonly workunit: string
}

/** A new host that has been given one task. */
async function takeTask(name: string): Promise<Task> {
  const { name: workunit } = await fileWork()
  const given = await talk({ name, wantedSeconds: 1, idleCpus: 1 })
  const { hostId = 0 } = given
  expect(given.tasks, given.text).toHaveLength(1)
  const certificate = /<xml_signature>\n([^<]*)</.exec(given.text)?.[1]?.trim() ?? ''
  const [task] = given.tasks
  return { hostId, name: task?.name ?? '', outputName: task?.outputName ?? '', certificate, workunit }
}

interface Sending {
  readonly name: string
  readonly certificate: string
  readonly bytesAtMost?: number
  readonly bytes?: number
  readonly md5?: string
  readonly offset?: number
  readonly content: Uint8Array
}

/** The body of a transfer as the client 7.20.5 sends it. */
function transfer(sending: Sending): Buffer {
  const { name, certificate, content, bytesAtMost = outputBytes, offset = 0 } = sending
  const head = `<data_server_request>
    <core_client_major_version>7</core_client_major_version>
    <core_client_minor_version>20</core_client_minor_version>
    <core_client_release>5</core_client_release>
<file_upload>
<file_info>
<name>${name}</name>
<xml_signature>
${certificate}</xml_signature>
<max_nbytes>${bytesAtMost}</max_nbytes>
</file_info>
<nbytes>${sending.bytes ?? content.length}</nbytes>
<md5_cksum>${sending.md5 ?? md5(content)}</md5_cksum>
<offset>${offset}</offset>
<data>
`
  return Buffer.concat([Buffer.from(head), content.subarray(offset)])
}

async function upload(body: string | Uint8Array) {
  const answer = await post('/file_upload_handler', body)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/plain'])
  const text = await answer.text()
  const field = (name: string) => new RegExp(`<${name}>(.*?)</${name}>`).exec(text)?.[1]
  return { text, status: Number(field('status')), message: field('message'), size: field('file_size') }
}

const askSize = (name: string) => upload(sizeRequest.replace('wu_1_0_r7919_0', name))

describe('who attaches', () => {
  it('finds the scheduler at the beginning of a line of the page', async () => {
    for (const path of ['', '/']) {
      const answer = await get(path)
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
      const lines = (await answer.text()).split('\n')
      expect(lines).toContain('<link rel="boinc_scheduler" href="http://molehill.example/boinc/scheduler">')
      expect(lines).toContain('<!-- <scheduler>http://molehill.example/boinc/scheduler</scheduler> -->')
      for (const line of lines.filter((each) => each.includes('scheduler')))
        expect(line.length).toBeLessThan(255)
    }
  })

  it('is told of the project', async () => {
    const answer = await get('/get_project_config.php')
    expect(answer.headers.get('content-type')).toBe('text/xml')
    const text = await answer.text()
    for (const part of [
      '<name>Molehill</name>',
      '<master_url>http://molehill.example/boinc/</master_url>',
      '<account_creation_disabled/>',
      '<min_passwd_length>6</min_passwd_length>',
      '<platform_name>x86_64-pc-linux-gnu</platform_name>',
    ])
      expect(text).toContain(part)
  })

  it('is a new host with its first request, and gets the key', async () => {
    const reply = await schedule(firstRequest.replace('0123456789abcdef0123456789abcdef', key))
    expect(reply.hostId).toBeGreaterThan(0)
    expect(reply.text).toContain('<code_sign_key>\n1024\n')
    expect(reply.text).toContain('<user_name>ann</user_name>')
    expect(reply.nextRequestSeconds).toBeGreaterThan(0)
  })
})

describe('accounts', () => {
  const ask = async (path: string, parameters: Record<string, string>) =>
    (await get(`${path}?${new URLSearchParams(parameters).toString()}`)).text()
  const alice = { email_addr: 'Alice@example.org', passwd_hash: md5('secret12alice@example.org') }

  it('are made with an invitation and found with the password', async () => {
    expect(alice.passwd_hash).toBe('ed9c81733a7b92cf726fec7426306b82')
    expect(await ask('/create_account.php', alice)).toContain('<error_num>-208</error_num>')
    expect(await ask('/create_account.php', { ...alice, invite_code: 'guessed' })).toContain(
      '<error_num>-206<',
    )
    const invitation = accounts.invite(1, clock + 1000)
    const made = await ask('/create_account.php', { ...alice, user_name: 'Alice', invite_code: invitation })
    const found = /<authenticator>([\da-f]{32})<\/authenticator>/.exec(made)?.[1]
    expect(found).toBeDefined()
    expect(await ask('/lookup_account.php', alice)).toContain(`<authenticator>${found}</authenticator>`)
    // With the right password, it is the same account again.
    expect(await ask('/create_account.php', alice)).toContain(`<authenticator>${found}</authenticator>`)
    expect(await ask('/lookup_account.php', { ...alice, passwd_hash: md5('x') })).toContain(
      '<error_num>-206<',
    )
  })

  it('are not told of', async () => {
    const unknown = { email_addr: 'nobody@example.org', passwd_hash: md5('x') }
    expect(await ask('/lookup_account.php', unknown)).toContain('<error_num>-136</error_num>')
    for (const email_addr of ['alice@example.org', 'nobody@example.org'])
      expect(await ask('/lookup_account.php', { email_addr })).toContain('<error_num>-136</error_num>')
    expect(await ask('/lookup_account.php', { email_addr: 'x'.repeat(501) })).toContain('<error_num>-205<')
  })

  it('are made by people who follow a link', async () => {
    const invitation = accounts.invite(1, clock + 1000)
    const form = await (await get(`/join?invitation=${invitation}`)).text()
    expect(form).toContain(`value="${invitation}"`)
    const join = async () =>
      (await post('/join', new URLSearchParams({ invitation, name: '<Bob>' }).toString())).text()
    const joined = await join()
    expect(joined).toContain('Welcome, &lt;Bob&gt;')
    expect(joined).toMatch(/boinccmd --project_attach http:\/\/molehill\.example\/boinc\/ [\da-f]{32}/)
    expect(await join()).toContain('already')
  })
})

describe('a task', () => {
  it('is fetched, computed, sent and reported, and counts once', async () => {
    const task = await takeTask('worker')
    const fetched = await get('/download/launcher_1', { 'accept-encoding': 'deflate, gzip, br, zstd' })
    expect(fetched.headers.get('content-length')).toBe('75')
    expect(fetched.headers.get('content-encoding')).toBeNull()
    expect(await fetched.text()).toBe(program)
    const archive = fakeArchive('HELLO\n')
    const sent = await upload(
      transfer({ name: task.outputName, certificate: task.certificate, content: archive }),
    )
    expect(sent.text).toBe('<data_server_reply>\n    <status>0</status>\n</data_server_reply>\n')
    const report = { name: 'worker', hostId: task.hostId, held: [], results: [{ name: task.name }] }
    expect((await talk(report)).acknowledged).toEqual([task.name])
    const done = await vi.waitFor(async () => {
      const progress = (await volunteers.progressOf([task.workunit])).get(task.workunit)
      expect(progress?.kind).toBe('done')
      return progress
    }, patience)
    expect(done?.kind === 'done' && (await readFile(done.archive)).equals(archive)).toBe(true)
    expect((await talk(report)).acknowledged).toEqual([task.name])
    // What still comes of it is read away.
    expect((await askSize(task.outputName)).size).toBe(String(outputBytes))
    const late = fakeArchive('forged')
    expect(
      await upload(transfer({ name: task.outputName, certificate: task.certificate, content: late })),
    ).toMatchObject({ status: 0 })
    expect(done?.kind === 'done' && (await readFile(done.archive)).equals(archive)).toBe(true)
  })

  it('fetches a file in parts, and one that it has all of', async () => {
    await takeTask('fetcher')
    const part = await get('/download/launcher_1', { range: 'bytes=10-' })
    expect([part.status, part.headers.get('content-length')]).toEqual([206, '65'])
    expect(await part.text()).toBe(program.slice(10))
    // 416 would be the end of the task.
    const behind = await get('/download/launcher_1', { range: 'bytes=75-' })
    expect([behind.status, await behind.text()]).toEqual([200, program])
    const unknown = await Promise.all(
      ['nothing', '..%2f..%2fproject.db', '.hidden'].map((name) => get(`/download/${name}`)),
    )
    expect(unknown.map(({ status }) => status)).toEqual([404, 404, 404])
  })

  it('waits for a file that is not there now', async () => {
    const workunit = await fileWork()
    const [input] = workunit.inputs
    const path = join(directory, 'gone')
    await volunteers.file([
      {
        ...workunit,
        name: 'wu_gone',
        inputs: [{ ...(input as NonNullable<typeof input>), name: 'in_gone', path }],
      },
    ])
    const answer = await get('/download/in_gone')
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '60'])
    await volunteers.remove([workunit.name, 'wu_gone'])
  })
})

describe('a file that is sent', () => {
  const content = Buffer.alloc(50_000, 'molehill')

  it('goes on where it broke off', async () => {
    const { outputName: name, certificate } = await takeTask('resuming')
    expect((await askSize(name)).size).toBe('0')
    const whole = transfer({ name, certificate, content })
    const cut = httpRequest(url('/file_upload_handler'), {
      method: 'POST',
      headers: { 'content-length': whole.length },
    })
    cut.on('error', () => undefined)
    cut.write(whole.subarray(0, 30_000))
    const there = await vi.waitFor(async () => {
      const { size } = await askSize(name)
      expect(Number(size)).toBeGreaterThan(20_000)
      return Number(size)
    }, patience)
    const busy = await upload(transfer({ name, certificate, content, offset: there }))
    expect(busy).toMatchObject({ status: 1, message: 'Another transfer of this file is under way' })
    cut.destroy()
    const beyond = await vi.waitFor(async () => {
      const answer = await upload(transfer({ name, certificate, content, offset: there + 1 }))
      expect(answer.message).not.toContain('under way')
      return answer
    }, patience)
    expect(beyond).toMatchObject({ status: 1 })
    expect((await upload(transfer({ name, certificate, content, offset: there }))).status).toBe(0)
    const upload0 = await volunteers.uploadOf(name)
    expect(upload0?.state).toBe('closed')
    expect((await readFile(upload0?.path ?? '')).equals(content)).toBe(true)
  })

  it('is refused for ever without its certificate', async () => {
    const { outputName: name, certificate } = await takeTask('uncertified')
    const other = signUpload(name, outputBytes, { secret: createSecretKey(Buffer.alloc(32)) })
    for (const wrong of [
      '',
      'x',
      other,
      certificate.replace(/[\da-f]/, (digit) => (digit === '0' ? '1' : '0')),
    ])
      expect(await upload(transfer({ name, certificate: wrong, content })), wrong).toMatchObject({
        status: -1,
        message: 'Invalid signature of the upload',
      })
    const moreAllowed = { name, certificate, content, bytesAtMost: outputBytes * 10 }
    expect((await upload(transfer(moreAllowed))).status).toBe(-1)
    expect((await upload(uploadRequest)).status).toBe(-1)
    expect((await volunteers.uploadOf(name))?.state).toBe('open')
    expect((await askSize(name)).size).toBe('0')
  })

  it('may have a certificate of an older key, where it was given out while that was in use', async () => {
    const { outputName: name } = await takeTask('long-away')
    const certificate = signUpload(name, outputBytes, olderKey)
    expect(await upload(transfer({ name, certificate, content }))).toMatchObject({
      status: -1,
      message: 'Invalid signature of the upload',
    })
    const [older] = olderUploadKeys
    if (older !== undefined) older.until = Date.now() + 1000
    expect((await upload(transfer({ name, certificate, content }))).status).toBe(0)
    expect((await volunteers.uploadOf(name))?.state).toBe('closed')
  })

  it('is refused for ever where it is too long or has another name', async () => {
    const { outputName: name, certificate } = await takeTask('too long')
    const long = Buffer.alloc(outputBytes + 1)
    expect(await upload(transfer({ name, certificate, content: long }))).toMatchObject({
      status: -1,
      message: `The file is too large: ${outputBytes + 1} bytes, at most ${outputBytes}`,
    })
    // More than it said.
    expect((await upload(transfer({ name, certificate, content, bytes: 10 }))).status).toBe(-1)
    expect((await upload(transfer({ name, certificate, content: Buffer.alloc(2 ** 21) }))).status).toBe(-1)
    for (const wrong of ['../../project.db', '/etc/passwd', '.part', 'a b', '', 'x'.repeat(256)])
      expect((await upload(transfer({ name: wrong, certificate, content }))).status, wrong).toBe(-1)
    expect((await askSize('../x')).status).toBe(-1)
    expect((await volunteers.uploadOf(name))?.state).toBe('open')
  })

  it('comes again where it came damaged or in part', async () => {
    const { outputName: name, certificate } = await takeTask('damaged')
    expect(await upload(transfer({ name, certificate, content, md5: md5('other') }))).toMatchObject({
      status: 1,
    })
    expect((await askSize(name)).size).toBe('0')
    expect((await upload(transfer({ name, certificate, content, bytes: 60_000 }))).status).toBe(1)
    expect((await askSize(name)).size).toBe('50000')
    for (const nonsense of [
      '',
      'hello',
      '<data_server_request>',
      'x'.repeat(100_000),
      `${'<a>'.repeat(50)}<data>\n`,
    ])
      expect((await upload(nonsense)).status, nonsense.slice(0, 30)).not.toBe(0)
    expect((await upload(transfer({ name, certificate, content }))).status).toBe(0)
  })

  it('comes when it may, where the client asks first', async () => {
    const { outputName: name, certificate } = await takeTask('asking')
    const body = transfer({ name, certificate, content })
    const headers = { 'content-length': body.length, expect: '100-continue' }
    const asking = httpRequest(url('/file_upload_handler'), { method: 'POST', headers })
    const answered = once(asking, 'response') as Promise<[IncomingMessage]>
    asking.flushHeaders()
    await once(asking, 'continue')
    asking.end(body)
    const [answer] = await answered
    expect(await consumeText(answer)).toContain('<status>0</status>')
  })

  it('is known whole where the server ended before it could remember that', async () => {
    const { outputName: name } = await takeTask('forgotten')
    const kept = await volunteers.uploadOf(name)
    await writeFile(kept?.path ?? '', content)
    expect((await askSize(name)).size).toBe(String(content.length))
    expect((await volunteers.uploadOf(name))?.state).toBe('closed')
  })

  it('may be empty', async () => {
    const { outputName: name, certificate } = await takeTask('empty')
    expect((await upload(transfer({ name, certificate, content: Buffer.alloc(0) }))).status).toBe(0)
    expect((await volunteers.uploadOf(name))?.state).toBe('closed')
  })
})

describe('what is wrong with a request is told in a reply', () => {
  it('when it is no request, or too large, or only a part of one', async () => {
    for (const body of ['', 'hello', '{}', '<html></html>', firstRequest.slice(0, -30)]) {
      const reply = await schedule(body)
      expect(reply.messages[0]).toContain('Error in request message')
      expect(reply.requestDelaySeconds).toBe(3600)
    }
    const large = httpRequest(url('/scheduler'), { method: 'POST', headers: { 'content-length': 2 ** 27 } })
    const answered = Promise.withResolvers<string>()
    large.on('error', answered.reject)
    large.on('response', (response) => {
      response.setEncoding('utf8').once('data', (text: string) => answered.resolve(text))
    })
    large.flushHeaders()
    expect(await answered.promise).toContain('larger than 67108864 bytes')
    large.destroy()
  })

  it('when the authenticator is wrong', async () => {
    for (const wrong of ['0'.repeat(32), '', `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`, '<&>']) {
      const reply = await talk({ name: 'stranger', authenticator: wrong })
      expect(reply.messages).toEqual([
        'Invalid or missing account key.  To fix, remove and add this project.',
      ])
      expect([reply.requestDelaySeconds, reply.hostId]).toEqual([3600, undefined])
      expect(reply.text).not.toContain('master_url')
    }
  })

  it('when the client is old', async () => {
    const reply = await talk({ name: 'old', majorVersion: 5 })
    expect(reply.messages[0]).toContain('needs BOINC 7 or later')
    expect(reply.requestDelaySeconds).toBe(86_400)
    expect(reply.tasks).toEqual([])
  })

  it("when results are another project's, or another volunteer's", async () => {
    const task = await takeTask('owner')
    const thief = accounts.authenticatorOf(accounts.add('mallory'))
    const { hostId = 0 } = await talk({ name: 'thief', authenticator: thief })
    const results = [
      { name: 'other_project_17_0' },
      { name: task.name },
      { name: '../x' },
      { name: task.name },
    ]
    const reply = await talk({ name: 'thief', authenticator: thief, hostId, held: [], results })
    // All are acknowledged, as the host would report them for ever; none counts.
    expect(reply.acknowledged.toSorted()).toEqual(['../x', 'other_project_17_0', task.name].toSorted())
    expect((await volunteers.progressOf([task.workunit])).get(task.workunit)?.kind).not.toBe('done')
    const held = await talk({ name: 'owner', hostId: task.hostId, held: [task.name] })
    expect([held.aborted, held.abortedIfNotStarted]).toEqual([[], []])
  })

  it('when a host comes again and again', async () => {
    const { hostId = 0 } = await talk({ name: 'eager' })
    let delay = 0
    for (let number = 1; number <= 12; number++)
      delay = (await talk({ name: 'eager', hostId, sequenceNumber: number, wantedSeconds: 1, idleCpus: 1 }))
        .requestDelaySeconds
    expect(delay).toBeGreaterThan(30)
  })
})

it('backs off whoever comes too often, in the words of each protocol', async () => {
  const limiter = createRequestLimiter({ perSecond: 1, burst: 1, elapsedMs: () => 0 })
  await using limited = await serveTestApi({
    dialects: [
      boincDialect('/boinc', {
        volunteers,
        accounts,
        settings: { ...settings, codeSignKey: '', successions: {}, uploadKey: await pem(), signatures: {} },
        uploadKey: readUploadKey(await pem()),
        olderUploadKeys: [],
        limits: createVolunteerLimits({ perSecond: 1, burst: 1, elapsedMs: () => 0 }),
        accountOf: (given) => (given === key ? 1 : undefined),
        joining: 'closed',
        platforms: {},
        uploadBytes: 1000,
        idleMs: 1000,
        checkDisk: () => Promise.resolve(),
        accountTries: createRequestLimiter({ perSecond: 1, burst: 1, elapsedMs: () => 0 }),
        now: () => clock,
        warn: (message) => warnings.push(message),
      }),
    ],
    limiter,
  })
  const send = async (path: string, body: string) =>
    (await fetch(`${limited.url}/boinc${path}`, { method: 'POST', body })).text()
  const known = fakeRequest({ authenticator: key, hostId: 4711, sequenceNumber: 1, name: 'box' }).toString()
  const delays: string[] = []
  // Thirty at once are what one host may send, whoever else is behind its address.
  for (let number = 0; number < 31; number += 1)
    delays.push(/<request_delay>(\d+)/.exec(await send('/scheduler', known))?.[1] ?? '')
  expect(delays.map((delay) => delay === '60')).toEqual([...Array<boolean>(30).fill(false), true])
  await send('/scheduler', '')
  expect(await send('/scheduler', firstRequest)).toContain('<request_delay>60.000000</request_delay>')
  const other = known.replace('4711', '4712')
  expect(await send('/scheduler', other)).not.toContain('<request_delay>60.000000</request_delay>')
  expect(await send('/file_upload_handler', uploadRequest)).toContain('<status>1</status>')
  const ask = async () => (await fetch(`${limited.url}/boinc/lookup_account.php`)).text()
  expect(await ask()).toContain('<error_num>-136<')
  expect(await ask()).toContain('<error_num>-183<')
})

async function pem(): Promise<string> {
  return readFile(join(directory, 'keys', 'upload.pem'), 'utf8')
}

describe('statistics', () => {
  it('are exported as sites read them, and shown to people', async () => {
    clock += 600_000
    const tables = await (await get('/stats/tables.xml')).text()
    expect(tables).toMatch(/<nusers_total>[1-9]\d*<\/nusers_total>/)
    const unpacked = async (name: string) =>
      gunzipSync(Buffer.from(await (await get(`/stats/${name}`)).arrayBuffer())).toString()
    expect(await unpacked('user.gz')).toMatch(/<users>\n<user><id>1<\/id><name>ann<\/name>/)
    expect(await unpacked('team.gz')).toContain('<teams>\n</teams>')
    const hosts = await unpacked('host.gz')
    expect(hosts).toMatch(/<host><id>\d+<\/id><userid>1<\/userid>/)
    // Names and addresses of computers stay here.
    expect(hosts).not.toMatch(/worker|192\.0\.2/)
    const shown = await get('/statistics')
    expect(shown.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await shown.text()).toContain('<td>ann</td>')
  })
})

it('leaves no part of a file behind that is complete', async () => {
  const names = await readdir(join(directory, 'uploads'), { recursive: true })
  expect(names.filter((name) => name.endsWith('.part')).length).toBeLessThanOrEqual(1)
})
