import { createHash } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { childNamed, childrenNamed, childText, parseXml, textOf } from '../../src/api/xml.ts'
import { until } from '../conformance/until.ts'
import { describeWith } from '../daemons/present.ts'
import { startSge, type Sge } from '../daemons/sge.ts'
import { excitingInput, writeExcitingProgram } from '../helpers/exciting-program.ts'
import { startServerWithUsers, type ServerWithUsers } from '../helpers/server-with-users.ts'

const longMs = 60_000
const sha1 = (text: string) => createHash('sha1').update(text).digest('hex')

let directory: string
let program: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mh-exciting-'))
  await chmod(directory, 0o755)
  program = await writeExcitingProgram(directory)
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** A client as the page describes it: the SHA-1 of what it posts is the address. */
class Client {
  readonly #url: () => string
  readonly #headers: Readonly<Record<string, string>>

  constructor(url: () => string, key?: string) {
    this.#url = url
    this.#headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  }

  async post(input: string, hash = sha1(input)) {
    const answer = await fetch(`${this.#url()}/${hash}/`, {
      method: 'POST',
      body: input,
      headers: this.#headers,
    })
    return { status: answer.status, text: await answer.text(), warning: answer.headers.get('warning') }
  }

  async get(hash: string, what = '', headers: Readonly<Record<string, string>> = {}) {
    const answer = await fetch(`${this.#url()}/${hash}/${what}`, {
      headers: { ...this.#headers, ...headers },
    })
    return { status: answer.status, text: await answer.text() }
  }

  async state(hash: string): Promise<string> {
    const { text } = await this.get(hash, 'status')
    const root = parseXml(text)
    return childText(root, 'state') ?? text
  }

  /** Asks for the status until it is the one; throws when it will never be. */
  async until(hash: string, state: string): Promise<void> {
    let seen = ''
    await until(
      `${hash} is ${state}`,
      async () => {
        await pause(50)
        seen = await this.state(hash)
        if (seen === state) return true
        if (!['queued', 'running'].includes(seen))
          throw new Error(`${(await this.get(hash, 'status')).text}${(await this.get(hash, 'stdout')).text}`)
        return undefined
      },
      () => seen,
      longMs,
    )
  }

  async files(hash: string, what: 'stdout' | 'import') {
    const root = parseXml((await this.get(hash, what)).text)
    expect(root.name).toBe('files')
    return childrenNamed(root, 'file')
  }
}

/** Goes through the whole cycle: what every place must give where calculations run. */
async function wholeCycle(client: Client, title: string): Promise<void> {
  const input = excitingInput(title)
  const hash = sha1(input)
  expect(await client.get(hash)).toMatchObject({ status: 404 })
  expect(await client.post(input)).toEqual({ status: 200, text: 'POST OK', warning: null })
  await client.until(hash, 'finished')
  const info = await client.get(hash)
  expect(info.status).toBe(200)
  const root = parseXml(info.text)
  expect(root.attributes['title']).toBe(title)
  expect(childNamed(root, 'groundstate')?.attributes['status']).toBe('finished')
  const status = parseXml((await client.get(hash, 'status')).text)
  expect(status).toMatchObject({ name: 'status', attributes: { id: hash } })
  expect(status.attributes['jobid']).not.toBe('')

  const printed = await client.files(hash, 'stdout')
  expect(printed.map((file) => [file.attributes['name'], textOf(file)])).toEqual([
    ['stdout', `calculated ${title}\n`],
    ['stderr', 'a <warning>\n'],
  ])
  const results = await client.files(hash, 'import')
  expect(results.map(({ attributes }) => attributes['name'])).toEqual([
    'eigval.xml',
    'geometry.xml',
    'info.xml',
    'input.xml',
  ])
  expect(childNamed(results[1]!, 'geometry')?.attributes).toEqual({ units: 'au' })
  expect(childNamed(results[2]!, 'info')).toEqual(root)
  expect([results[0]?.attributes['encoding'], textOf(results[0]!)]).toEqual([
    'utf-8',
    '<a>not well-formed ]]> &',
  ])

  expect(await client.post(input)).toMatchObject({ text: 'POST OK' })
  expect(await client.state(hash)).toBe('finished')
  expect((await client.get(hash, 'delete', { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  const deleted = await client.get(hash, 'delete')
  expect([deleted.status, parseXml(deleted.text).attributes]).toEqual([200, { code: '0' }])
  for (const what of ['', 'status', 'stdout', 'import', 'delete'])
    expect((await client.get(hash, what)).status, what).toBe(404)
}

describe('the service of exciting@web', () => {
  let running: ServerWithUsers
  let ann: Client
  let bob: Client
  beforeAll(async () => {
    running = await startServerWithUsers(
      { ann: {}, bob: {} },
      { excitingProgram: program, taskPaths: directory, slots: '2' },
    )
    const url = () => `${running.url}/exciting`
    ann = new Client(url, running.keys['ann'])
    bob = new Client(url, running.keys['bob'])
  }, longMs)
  afterAll(() => running[Symbol.asyncDispose]())

  test('goes through its whole cycle', { timeout: longMs }, () => wholeCycle(ann, 'diamond'))

  test('takes the same input of two users as two calculations', { timeout: longMs }, async () => {
    const input = excitingInput('silicon')
    const hash = sha1(input)
    await ann.post(input)
    await ann.until(hash, 'finished')
    for (const what of ['', 'status', 'stdout', 'import', 'delete'])
      expect((await bob.get(hash, what)).status, what).toBe(404)
    await bob.post(input)
    expect((await bob.get(hash, 'delete')).status).toBe(200)
    expect(await ann.state(hash)).toBe('finished')
  })

  test('ends what runs when it is deleted, and starts it anew', { timeout: longMs }, async () => {
    const input = excitingInput('slow')
    const hash = sha1(input)
    await ann.post(input)
    await ann.until(hash, 'running')
    expect(await ann.post(input)).toMatchObject({ status: 200, text: 'POST OK' })
    expect(await ann.post(excitingInput('another'), hash)).toMatchObject({ status: 409 })
    expect((await ann.get(hash)).status).toBe(404)
    expect((await ann.get(hash)).text).toContain('no info.xml yet')
    expect((await ann.get(hash, 'delete')).status).toBe(200)
    await ann.post(input)
    await ann.until(hash, 'running')
    await running.restart()
    await ann.until(hash, 'running')
    expect(
      (
        await fetch(`${running.url}/exciting/${hash}`, {
          method: 'DELETE',
          headers: { 'x-api-key': running.keys['ann'] ?? '' },
        })
      ).status,
    ).toBe(200)
    expect((await ann.get(hash, 'status')).status).toBe(404)
  })

  test(
    'tells of a calculation that failed, and calculates it again when it is posted again',
    { timeout: longMs },
    async () => {
      const input = excitingInput('broken')
      const hash = sha1(input)
      await ann.post(input)
      await ann.until(hash, 'failed')
      expect((await ann.get(hash, 'status')).text).toContain('exit code 3')
      expect((await ann.files(hash, 'stdout')).map((file) => textOf(file))).toEqual([
        'calculated broken\n',
        'a <warning>\n',
      ])
      expect(await ann.post(input)).toMatchObject({ text: 'POST OK' })
      await ann.until(hash, 'failed')
    },
  )

  test('refuses what is no input, and who has no key', { timeout: longMs }, async () => {
    const bomb = '<!DOCTYPE input [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><input>&b;</input>'
    for (const input of ['', 'hello', '<input>', '<output/>', bomb, '<a>'.repeat(1000)]) {
      const { status, text } = await ann.post(input)
      expect([status, text.startsWith('The ')], input.slice(0, 40)).toEqual([400, true])
    }
    expect((await ann.post('<input/>'.padEnd(17 * 2 ** 20))).status).toBe(413)
    const input = excitingInput('other hash')
    const hash = '0123456789ABCDEF0123456789abcdef01234567'
    const accepted = await ann.post(input, hash)
    expect([accepted.text, accepted.warning]).toEqual([
      'POST OK',
      `299 - "the SHA-1 of the input is ${sha1(input)}"`,
    ])
    await ann.until(hash.toLowerCase(), 'finished')
    for (const wrong of ['x', 'z'.repeat(40), '..%2f..%2fetc', sha1(input).slice(1)])
      expect((await ann.get(wrong)).status, wrong).toBe(404)
    const stranger = new Client(() => `${running.url}/exciting`)
    expect((await stranger.get(hash)).status).toBe(401)
    expect((await stranger.post(input)).status).toBe(401)
    expect((await new Client(() => `${running.url}/exciting`, 'wrong').get(hash)).status).toBe(401)
  })
})

describe('without keys', () => {
  test('it serves loopback only, and strictly if that is asked for', { timeout: longMs }, async () => {
    await using running = await startServerWithUsers(
      {},
      { excitingProgram: program, taskPaths: directory, excitingOpen: true, excitingStrict: true },
    )
    const client = new Client(() => `${running.url}/exciting`)
    const input = excitingInput('open')
    expect((await client.post(input, '0'.repeat(40))).status).toBe(409)
    await client.post(input)
    await client.until(sha1(input), 'finished')
    await expect(
      startServerWithUsers({}, { host: '0.0.0.0', excitingOpen: true, isolation: 'none' }),
    ).rejects.toThrow('exciting-open needs a loopback address')
  })
})

describeWith('sge', 'with programs of a site that submit by qsub', () => {
  let sge: Sge
  beforeAll(async () => {
    sge = await startSge()
  }, 60_000)
  afterAll(() => sge?.stop())

  test('it goes through its whole cycle', { timeout: 2 * longMs }, async () => {
    const site = await mkdtemp('/tmp/mh-site-')
    const prefix = sge.prefix.map((word) => `'${word}'`).join(' ')
    const script = async (name: string, text: string) => {
      await writeFile(join(site, name), `#!/bin/sh\n${text}\n`)
      await chmod(join(site, name), 0o755)
      return join(site, name)
    }
    try {
      await chmod(site, 0o755)
      const excitingStart = await script(
        'startcalc.sh',
        `cd "$1"\n${prefix} qsub -terse -r n -wd "$PWD" -e stderr -o stdout ${join(site, 'job.sh')} > job`,
      )
      await script('job.sh', `exec ${program}`)
      const excitingStatus = await script(
        'getstatus',
        `${prefix} qstat -j "$(cat "$1/job")" > /dev/null && echo "<job>$(cat "$1/job")</job>"`,
      )
      const excitingStop = await script('stopcalc', `${prefix} qdel "$(cat "$1/job")"`)
      await using running = await startServerWithUsers(
        { ann: {} },
        { excitingStart, excitingStatus, excitingStop },
      )
      const client = new Client(() => `${running.url}/exciting`, running.keys['ann'])
      await wholeCycle(client, 'by qsub')

      const slow = excitingInput('slow')
      await client.post(slow)
      await client.until(sha1(slow), 'running')
      expect((await client.get(sha1(slow))).text).toContain('iteration="1"')
      const status = parseXml((await client.get(sha1(slow), 'status')).text)
      expect(childText(childNamed(status, 'detail')!, 'job')).toBe(status.attributes['jobid'])
      await running.restart()
      expect(await client.state(sha1(slow))).toBe('running')
      expect((await client.get(sha1(slow), 'delete')).status).toBe(200)
      await until(
        'its processes are gone',
        async () => (await sge.processes('sleep')).length === 0 || undefined,
        () => 'sleep',
        longMs,
      )
    } finally {
      await rm(site, { recursive: true, force: true })
    }
  })
})
